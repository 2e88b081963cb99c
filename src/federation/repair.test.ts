import { afterEach, describe, expect, it } from 'vitest'
import type { ExportedEntry } from './federation.ts'
import type { FrameStream } from './host.ts'
import { type AskFrame, type BeginFrame, decodeFrame } from './protocol/tail.ts'
import type { Remote } from './remotes.ts'
import { holds } from './testing/compare.ts'
import { MemoryMesh, type MemoryNode } from './testing/memory-mesh.ts'
import type { MemoryNetwork } from './testing/memory-network.ts'

let mesh: MemoryMesh
let watched: Watched
afterEach(() => mesh.close())

const ENTRIES = 5000
const replicaOf = (node: MemoryNode, datacenter: string) => (node.federation.remote(datacenter) as Remote).replica!

/** A content that differs from the origin's, as a fault of this node would leave it: in the replica and in what it shows. */
function plant(node: MemoryNode, datacenter: string, wrong: Readonly<Record<string, string | null>>): void {
  const sink = node.sinks.get(datacenter)!
  for (const [key, value] of Object.entries(wrong)) {
    const { content, revision } = replicaOf(node, datacenter)
    if (value === null) {
      content.delete(key)
      sink.entries.delete(key)
      continue
    }
    const entry: ExportedEntry = { key, value: Buffer.from(value), createRevision: 1, modRevision: revision }
    content.put(entry)
    sink.entries.set(key, entry)
  }
}

async function two(seed: number): Promise<[MemoryNode, MemoryNode]> {
  mesh = new MemoryMesh(seed, { link: { delayMs: 40 } })
  watched = new Watched(mesh.network, 'peer-us-1-1')
  const [eu, us] = (await mesh.startAll('eu-1', 'us-1')) as [MemoryNode, MemoryNode]
  for (let i = 0; i < ENTRIES; i += 100) {
    eu.source.write(Object.fromEntries(Array.from({ length: 100 }, (_, j) => [`e/s/n${i + j}/web`, `${i + j}`])))
  }
  await mesh.until(() => holds(us, eu))
  return [eu, us]
}

/** What a node asks for on tails, and what comes, which can break off in the middle. */
class Watched {
  readonly asks: (AskFrame & { readonly of: string })[] = []
  readonly begins: BeginFrame[] = []
  /** Indexes of the frames of transfers, as they came. */
  readonly frames: number[] = []
  /** Whole contents that are asked for and not there yet; the most at once. */
  #fetching = 0
  mostAtOnce = 0
  /** After so many more frames the stream breaks, once. */
  breaksAfter = Number.POSITIVE_INFINITY

  constructor(network: MemoryNetwork, peerId: string) {
    const open = network.openStream.bind(network)
    network.openStream = async (from, to, protocol) => {
      const stream = await open(from, to, protocol)
      return from.self.peerId === peerId ? this.#watch(stream, to.self.peerId) : stream
    }
  }

  /** What was before does not count. */
  forget(): void {
    for (const list of [this.asks, this.begins, this.frames]) list.length = 0
  }

  #watch(stream: FrameStream, of: string): FrameStream {
    const noteAsk = (bytes: Uint8Array): void => {
      const frame = decodeFrame(bytes)
      if (frame.type !== 'ask') return
      this.asks.push({ ...frame, of })
      if (frame.mode !== 'since') this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#fetching)
    }
    const came = (bytes: Uint8Array): void => {
      const frame = decodeFrame(bytes)
      if (frame.type === 'begin') this.begins.push(frame)
      if (frame.type === 'end' || frame.type === 'refuse') this.#fetching--
      if (frame.type !== 'chunk' && frame.type !== 'page') return
      if (this.breaksAfter-- === 0) {
        stream.abort(new Error('broken'))
        throw new Error('broken')
      }
      this.frames.push(frame.index)
    }
    return {
      peer: stream.peer,
      get isOpen() {
        return stream.isOpen
      },
      close: () => stream.close(),
      abort: (reason) => stream.abort(reason),
      send: (bytes) => {
        noteAsk(bytes)
        return stream.send(bytes)
      },
      async *frames() {
        for await (const bytes of stream.frames()) {
          came(bytes)
          yield bytes
        }
      },
    }
  }
}

describe('a transfer that is cut off in the middle', () => {
  const long = (i: number): string => `${i} `.padEnd(300, 'v')

  /** The third frame breaks the stream; the rest comes after it, and nothing twice. */
  async function expectResumed(us: MemoryNode, eu: MemoryNode): Promise<void> {
    await mesh.until(() => watched.begins.length > 1, 10_000)
    await mesh.until(() => holds(us, eu), 10_000)
    const [first, second] = watched.begins
    expect(watched.asks[1]).toMatchObject({ resumeId: first!.id, resumeFrame: 2 })
    expect(second).toMatchObject({ kind: first!.kind, id: first!.id, firstFrame: 2 })
    const { frames } = watched
    const next = frames.indexOf(0, 1)
    const ofTransfer = next < 0 ? frames : frames.slice(0, next)
    expect(ofTransfer.length).toBeGreaterThan(4)
    expect(ofTransfer).toEqual(ofTransfer.map((_, i) => i))
  }

  it('goes on where it was, of changes', async () => {
    const [eu, us] = await two(4)
    const before = { ...us.federation.remote('eu-1')!.counters }
    mesh.network.cut('eu-1', 'us-1')
    await mesh.until(() => us.federation.remote('eu-1')!.state === 'lost')
    for (let i = 0; i < 1500; i++) eu.source.write({ [`e/s/n${i}/web`]: i % 7 === 0 ? null : long(i) })
    await mesh.clock.advance(6000)
    watched.forget()
    watched.breaksAfter = 2
    mesh.network.heal('eu-1', 'us-1')
    await expectResumed(us, eu)
    expect(watched.begins.map(({ kind }) => kind)).toEqual(['changes', 'changes'])
    expect(us.federation.remote('eu-1')!.counters).toMatchObject({ snapshots: before.snapshots, repairs: 0 })
  })

  it('goes on where it was, of buckets, though the origin goes on writing', async () => {
    const [eu, us] = await two(5)
    for (let i = 0; i < ENTRIES; i += 100)
      eu.source.write(Object.fromEntries(Array.from({ length: 100 }, (_, j) => [`e/s/n${i + j}/web`, long(i + j)])))
    await mesh.until(() => holds(us, eu))
    const { snapshots } = us.federation.remote('eu-1')!.counters
    watched.forget()
    watched.breaksAfter = 2
    plant(us, 'eu-1', Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`e/s/n${i}/web`, 'wrong'])))
    await mesh.until(() => watched.begins.length === 1, 5000)
    eu.source.write({ 'e/s/n4999/web': 'meanwhile' })
    await expectResumed(us, eu)
    expect(watched.begins.slice(0, 2).map(({ kind }) => kind)).toEqual(['buckets', 'buckets'])
    expect(us.federation.remote('eu-1')!.counters).toMatchObject({ repairs: 1, snapshots })
  })
})

describe('a node that lacks everything', () => {
  it('fetches the contents of eight datacenters at once, then those of the others', async () => {
    mesh = new MemoryMesh(8, { link: { delayMs: 40 } })
    const names = Array.from({ length: 14 }, (_, i) => `dc-${i}`)
    const nodes = await mesh.startAll(...names)
    for (const { source } of nodes) source.write({ 'e/s/n1/web': 'x' })
    await mesh.until(() => holds(nodes[13]!, nodes[0]!))
    watched = new Watched(mesh.network, 'peer-us-1-1')
    const us = await mesh.start('us-1', { join: nodes.slice(0, 1) })
    await mesh.until(() => nodes.every((node) => holds(us, node)), 10_000)
    expect(watched.asks.filter(({ mode }) => mode === 'snapshot').length).toBeGreaterThanOrEqual(14)
    expect(watched.mostAtOnce).toBeGreaterThan(4)
    expect(watched.mostAtOnce).toBeLessThanOrEqual(8)
  })
})

describe('a replica that has gone wrong', () => {
  it('is repaired by another server of its own datacenter, beside the tail that stands', async () => {
    const [eu, us] = await two(6)
    const other = await mesh.start('us-1', { node: 'us-1-2', source: us.source, join: [us] })
    await mesh.until(() => holds(other, eu))
    watched.forget()
    plant(us, 'eu-1', { 'e/s/n7/web': 'wrong', 'e/s/n8/web': null })
    expect(await mesh.until(() => holds(us, eu))).toBeLessThan(3000)
    expect(watched.asks.map(({ of, mode }) => [of, mode])).toEqual([['peer-us-1-2', 'repair']])
    expect(us.federation.remote('eu-1')!.counters).toMatchObject({ repairs: 1 })
    // The tail goes on as if nothing had been.
    eu.source.write({ 'e/s/n7/web': 'next' })
    expect(await mesh.until(() => holds(us, eu))).toBeLessThan(100)
  })

  it('is repaired by the origin when the other server of its own datacenter answers nothing', async () => {
    const [eu, us] = await two(7)
    const other = await mesh.start('us-1', { node: 'us-1-2', source: us.source, join: [us] })
    await mesh.until(() => holds(other, eu))
    watched.forget()
    other.host.handleStream('/atoll/tail/1', () => {})
    plant(us, 'eu-1', { 'e/s/n7/web': 'wrong' })
    await mesh.until(() => us.federation.remote('eu-1')!.counters.repairs === 1, 10_000)
    expect(holds(us, eu)).toBe(true)
    expect(watched.asks.map(({ of }) => of)).toEqual(['peer-us-1-2', 'peer-eu-1-1'])
  })

  it('is repaired by itself within three seconds, by what differs alone', async () => {
    const [eu, us] = await two(1)
    const { snapshots } = us.federation.remote('eu-1')!.counters
    plant(us, 'eu-1', { 'e/s/n7/web': 'wrong', 'e/s/n8/web': null, 'e/s/nowhere/web': 'more' })
    expect(holds(us, eu)).toBe(false)
    expect(await mesh.until(() => holds(us, eu))).toBeLessThan(3000)
    expect(us.federation.remote('eu-1')!.counters).toMatchObject({ repairs: 1, snapshots })
    expect(us.sinks.get('eu-1')!.counters).toMatchObject({ repaired: 3 })
  })

  it('is repaired while the origin goes on writing', async () => {
    const [eu, us] = await two(2)
    plant(us, 'eu-1', { 'e/s/n7/web': 'wrong' })
    for (let i = 0; i < 40; i++) {
      eu.source.write({ [`e/s/n${i}/web`]: `again ${i}` })
      await mesh.clock.advance(20)
    }
    expect(await mesh.until(() => holds(us, eu))).toBeLessThan(3000)
    expect(us.federation.remote('eu-1')!.counters.repairs).toBeGreaterThan(0)
  })

  it('gets everything where most of it differs', async () => {
    const [eu, us] = await two(3)
    const { snapshots } = us.federation.remote('eu-1')!.counters
    plant(us, 'eu-1', Object.fromEntries(Array.from({ length: ENTRIES }, (_, i) => [`e/s/n${i}/web`, 'wrong'])))
    expect(await mesh.until(() => holds(us, eu))).toBeLessThan(3000)
    expect(us.federation.remote('eu-1')!.counters).toMatchObject({ snapshots: snapshots + 1 })
  })
})
