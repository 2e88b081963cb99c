import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../runtime/clock.ts'
import { systemRandom } from '../runtime/random.ts'
import { openEmbedded } from '../store/embedded/embedded.ts'
import type { OpenCatalog } from './open.ts'
import { openCatalog } from './open.ts'
import { readSnapshot, type SnapshotEntry, writeSnapshot } from './snapshot.ts'
import { checkEntry, kvLock, kvPut, nodeEntry, register, serviceEntry, sessionCreate } from './testing/entries.ts'
import { type Harness, openHarness, silent } from './testing/harness.ts'

const S = 'aaaaaaaa-0000-0000-0000-000000000001'
const head = { datacenter: 'eu-1', generation: 0, revision: 7, index: 7 }

async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all)
}
const saved = async (catalog: OpenCatalog) => joined((await catalog.save()).bytes)

async function* pages(...lists: SnapshotEntry[][]): AsyncGenerator<SnapshotEntry[]> {
  yield* lists
}

describe('the archive', () => {
  it('holds entries in pages, any bytes, and comes back the same', async () => {
    const binary = Uint8Array.from({ length: 300 }, (_, i) => i)
    const bytes = await joined(writeSnapshot(head, pages([['k/a', binary]], [], [['k/ü', new Uint8Array(0)]])))
    const read = readSnapshot(bytes)
    expect(read.head).toMatchObject(head)
    expect([...read.entries].map(([key, value]) => [key, [...value]])).toEqual([
      ['k/a', [...binary]],
      ['k/ü', []],
    ])
  })

  it('is refused whole when a single byte is another, or the end is missing', async () => {
    const bytes = await joined(writeSnapshot(head, pages([['k/a', Uint8Array.of(1, 2, 3)]])))
    for (let at = 0; at < bytes.length; at++) {
      const other = bytes.slice()
      other[at]! ^= 0x11
      expect(() => readSnapshot(other), `byte ${at}`).toThrow()
      expect(() => readSnapshot(bytes.subarray(0, at)), `cut at ${at}`).toThrow()
    }
  })
})

let h: Harness
afterEach(() => h?.close())

async function fill(catalog: OpenCatalog): Promise<void> {
  const node = nodeEntry('n1')
  await catalog.execute(register(node, [serviceEntry('n1', 'web')], [checkEntry('n1', 'c', { output: 'fine' })]))
  await catalog.execute(sessionCreate(S, { lockDelayMs: 5_000 }))
  await catalog.execute(kvLock('locks/a', S, 'held'))
  for (let i = 0; i < 250; i++) await catalog.execute(kvPut(`k/${i}`, `value ${i}`))
}

/** All that readers see, without indexes. */
function content({ view }: OpenCatalog): string {
  const all = [view.nodes(), view.instances('web'), view.checks(), view.kvUnder(''), view.sessions(), view.events()]
  return JSON.stringify(all, (key, value) =>
    /Index$/.test(key) && key !== 'lockIndex' ? undefined : typeof value === 'bigint' ? String(value) : value,
  )
}

describe('a restored catalog', () => {
  it('is what it was, under a new generation: no index goes back, also of what is gone', async () => {
    h = await openHarness()
    const { catalog } = h
    await fill(catalog)
    const [before, archive] = [content(catalog), await saved(catalog)]
    await catalog.execute({ kind: 'kv-delete', key: 'k/', recurse: true })
    await catalog.execute(kvPut('new', 'later'))
    await catalog.execute(register(nodeEntry('n2'), [serviceEntry('n2', 'late')]))
    const refs = [
      { kind: 'kv', key: 'new' },
      { kind: 'kv-prefix', prefix: 'k/' },
      { kind: 'service', service: 'late' },
      { kind: 'service', service: 'web' },
      { kind: 'nodes' },
      { kind: 'sessions' },
    ] as const
    const indexes = refs.map((ref) => catalog.view.topic(ref).index)
    await catalog.restore(archive)
    expect(content(catalog)).toBe(before)
    expect(catalog.view.epoch.generation).toBe(1)
    for (const [i, ref] of refs.entries()) expect(catalog.view.topic(ref).index).toBeGreaterThan(indexes[i]!)
    expect(await catalog.execute(kvPut('works', 'again'))).toMatchObject({ applied: true })
    const again = await h.reloaded()
    for (const ref of refs.slice(2)) expect(again.topic(ref).index).toBe(catalog.view.topic(ref).index)
  })

  it('wakes who waits', async () => {
    h = await openHarness()
    await fill(h.catalog)
    const archive = await saved(h.catalog)
    await h.catalog.execute(kvPut('k/1', 'other'))
    let woken = 0
    h.catalog.view.topic({ kind: 'kv', key: 'k/1' }).onceChanged(() => woken++)
    await h.catalog.restore(archive)
    expect(woken).toBe(1)
  })

  it('takes no writes while it is half restored, and can be restored again', async () => {
    h = await openHarness()
    const { catalog, store } = h
    await fill(catalog)
    const [before, archive] = [content(catalog), await saved(catalog)]
    await catalog.execute({ kind: 'kv-delete', key: 'k/', recurse: true })
    const { txn } = store
    let left = 2
    store.txn = (asked) => (left-- > 0 ? txn.call(store, asked) : Promise.reject(new Error('killed')))
    await expect(catalog.restore(archive)).rejects.toThrow('killed')
    store.txn = txn
    await expect(catalog.execute(kvPut('a', ''))).rejects.toMatchObject({ code: 'unavailable' })
    expect((await h.reloaded()).signals.restoring).toBe(true)
    await catalog.restore(archive)
    expect(content(catalog)).toBe(before)
    expect((await catalog.execute(kvPut('a', ''))).applied).toBe(true)
  })

  it('is left alone by an archive of another datacenter, or a damaged one', async () => {
    h = await openHarness()
    await fill(h.catalog)
    const before = content(h.catalog)
    const other = await joined(writeSnapshot({ ...head, datacenter: 'us-1' }, pages([])))
    await expect(h.catalog.restore(other)).rejects.toMatchObject({ code: 'invalid', field: 'snapshot' })
    await expect(h.catalog.restore(Uint8Array.of(1, 2, 3))).rejects.toMatchObject({ code: 'invalid' })
    expect(content(h.catalog)).toBe(before)
    expect(h.catalog.view.epoch.generation).toBe(0)
  })

  it('goes from one driver to another, and is there after a restart', async () => {
    h = await openHarness()
    await fill(h.catalog)
    const archive = await saved(h.catalog)
    const directory = await mkdtemp(join(tmpdir(), 'atoll-snapshot-'))
    const open = async () => {
      const common = { clock: systemClock, random: systemRandom, logger: silent }
      const store = await openEmbedded({ path: join(directory, 'store'), ...common })
      const catalog = await openCatalog({ store, datacenter: 'eu-1', ...common })
      return { catalog, close: () => catalog.close().then(() => store.close()) }
    }
    try {
      const first = await open()
      await first.catalog.restore(archive)
      expect(content(first.catalog)).toBe(content(h.catalog))
      await first.close()
      const second = await open()
      expect(content(second.catalog)).toBe(content(h.catalog))
      expect(second.catalog.view.epoch.generation).toBe(1)
      await second.close()
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})
