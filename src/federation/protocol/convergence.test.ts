/** Publisher and replica against each other: whatever happens between them, the replica ends equal to what is exported. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Epoch } from '../../model/epoch.ts'
import type { ExportedChange, ExportedEntry } from '../federation.ts'
import { settle } from '../testing/settle.ts'
import { Content } from './content.ts'
import { bucketOf, differingBuckets } from './digest.ts'
import type { BeaconMessage, DeltaMessage } from './messages.ts'
import { Publisher } from './publisher.ts'
import { Replica, type ReplicaEffect } from './replica.ts'
import { type AskFrame, type BeginFrame, bucketsToBitmap, type ChunkFrame, type EndFrame } from './tail.ts'

type Heard = BeaconMessage | DeltaMessage

const KEYS = ['a', 'b', 'c', 'd', 'e']
const text = new TextEncoder()

/** The store of the origin: everything that ever was, so that a replica can be held against it. */
class Truth {
  epoch: Epoch = { generation: 0, random: 'r0' }
  revision = 0
  readonly entries = new Map<string, ExportedEntry>()
  readonly history: { revision: number; changes: ExportedChange[] }[] = []
  /** What was exported at each revision of each epoch. */
  readonly states = new Map<string, string>([['0 0', '']])
  compacted = 0

  write(values: readonly (readonly [key: string, value: number | null])[]): void {
    const revision = ++this.revision
    const changes: ExportedChange[] = []
    for (const [key, value] of new Map(values)) {
      if (value === null) {
        if (this.entries.delete(key)) changes.push({ key, value: null, createRevision: 0, modRevision: revision })
        continue
      }
      const createRevision = this.entries.get(key)?.createRevision ?? revision
      const entry = { key, value: text.encode(String(value)), createRevision, modRevision: revision }
      this.entries.set(key, entry)
      changes.push(entry)
    }
    if (changes.length > 0) this.history.push({ revision, changes })
    this.note()
  }
  note(): void {
    this.states.set(`${this.epoch.generation} ${this.revision}`, describeEntries(this.entries.values()))
  }
  /** A restore: the state of another history under a higher generation. */
  restore(): void {
    this.epoch = { generation: this.epoch.generation + 1, random: `r${this.epoch.generation + 1}` }
    this.history.length = 0
    this.compacted = this.revision
    this.note()
  }
}

const describeEntries = (entries: Iterable<ExportedEntry>): string =>
  [...entries]
    .map(
      ({ key, value, createRevision, modRevision }) => `${key}=${Buffer.from(value)}@${createRevision}/${modRevision}`,
    )
    .sort()
    .join(' ')

/** The origin's side: a publisher that restarts, and answers of a tail. */
class Origin {
  readonly truth = new Truth()
  publisher!: Publisher
  #boot = 0
  #told = 0

  constructor(now: number) {
    this.restart(now)
  }

  restart(now: number): void {
    this.publisher = new Publisher({ datacenter: 'eu-1', datacenterId: 'id', boot: ++this.#boot })
    this.load()
    this.publisher.start(now)
  }
  load(): void {
    const content = this.#content()
    const revisions = [...this.truth.entries.values()].map(({ modRevision }) => modRevision)
    this.publisher.load(this.truth.epoch, this.truth.revision, Math.max(0, ...revisions), content)
    this.#told = this.truth.revision
  }
  /** What is published up to now. */
  publish(now: number): Heard[] {
    const batch = this.truth.history.filter(({ revision }) => revision > this.#told)
    this.#told = this.truth.revision
    return this.publisher.receive(batch, now).map(({ message }) => message)
  }
  tick(now: number): Heard[] {
    return this.publisher.tick(now, this.#told).map(({ message }) => message)
  }

  answer(ask: AskFrame): (BeginFrame | ChunkFrame | { end: EndFrame; message: Heard })[] {
    const { truth, publisher } = this
    const { attempt } = ask
    const same = ask.epoch.random === truth.epoch.random
    const head = publisher.beacon()
    const { lastExported } = head.head
    if (same && ask.mode === 'since' && ask.since >= truth.compacted) {
      const changes = truth.history
        .filter(({ revision }) => revision > ask.since && revision <= lastExported)
        .flatMap((entry) => entry.changes)
      return this.#frames(attempt, 'changes', changes, head, ask.since, null)
    }
    const { content } = publisher
    const all = content.entries()
    if (!same || ask.mode !== 'repair') return this.#frames(attempt, 'snapshot', all, head, 0, null)
    const buckets = differingBuckets(content.bucketHashes(), ask.buckets!)
    const some = all.filter(({ key }) => buckets.has(bucketOf(key)))
    return this.#frames(attempt, 'buckets', some, head, 0, bucketsToBitmap(buckets))
  }
  #content(): Content {
    const content = new Content()
    for (const entry of this.truth.entries.values()) content.put(entry)
    return content
  }
  #frames(
    attempt: number,
    kind: BeginFrame['kind'],
    changes: readonly ExportedChange[],
    message: Heard,
    from: number,
    bitmap: Uint8Array | null,
  ): (BeginFrame | ChunkFrame | { end: EndFrame; message: Heard })[] {
    const out: (BeginFrame | ChunkFrame | { end: EndFrame; message: Heard })[] = [
      { type: 'begin', attempt, kind, id: 'x', firstFrame: 0, from, bitmap },
    ]
    for (const [index, change] of changes.entries()) out.push({ type: 'chunk', attempt, index, changes: [change] })
    out.push({ end: { type: 'end', attempt, frames: changes.length, envelope: new Uint8Array(1) }, message })
    return out
  }
}

/** The replica's side; checks every state that it passes through. */
class Follower {
  readonly truth: Truth
  replica: Replica
  entries = new Map<string, ExportedEntry>()
  epoch: Epoch | undefined
  revision = 0
  asks = 0

  constructor(truth: Truth) {
    this.truth = truth
    this.replica = new Replica({ datacenter: 'eu-1' })
  }

  run(effects: readonly ReplicaEffect[], now: number): void {
    settle(this.replica, effects, now, (effect) => {
      if (effect.type === 'ask') this.asks++
      if (effect.type === 'apply' || effect.type === 'repair') {
        expect(effect.revision).toBeGreaterThan(this.revision - (effect.changes.length === 0 ? 1 : 0))
        for (const change of effect.changes) {
          expect(change.former).toEqual(this.entries.get(change.key)?.value)
          if (change.value === null) this.entries.delete(change.key)
          else this.entries.set(change.key, change as ExportedEntry)
        }
        this.revision = effect.revision
      } else if (effect.type === 'install') {
        const before = this.epoch
        if (before && before.generation === effect.epoch.generation)
          expect(effect.revision).toBeGreaterThanOrEqual(this.revision)
        this.entries = new Map(effect.content.entries().map((entry) => [entry.key, entry]))
        this.epoch = effect.epoch
        this.revision = effect.revision
      } else {
        return
      }
      // Always a state that the origin was in, at just that revision: so no deleted instance comes back.
      expect(describeEntries(this.entries.values())).toBe(
        this.truth.states.get(`${this.epoch!.generation} ${this.revision}`),
      )
    })
  }

  /** As a node that was started anew with what it had saved. */
  restart(now: number): void {
    const { replica } = this
    this.replica = new Replica({ datacenter: 'eu-1' })
    if (!replica.epoch) {
      this.epoch = undefined
      this.revision = 0
      this.entries = new Map()
      return
    }
    const content = new Content()
    for (const entry of replica.content.entries()) content.put(entry)
    const { epoch, revision, proven } = replica
    this.run(this.replica.restore({ epoch, revision, content, proven, ageMs: 0 }, now), now)
  }
}

type Action =
  | { readonly do: 'write'; readonly values: readonly (readonly [string, number | null])[] }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'deliver'; readonly pick: number; readonly copies: number }
  | { readonly do: 'lose'; readonly pick: number }
  | { readonly do: 'ask'; readonly frames: number }
  | { readonly do: 'restart-origin' | 'restart-replica' | 'restore' | 'compact' | 'not-exported' }

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      values: fc.array(fc.tuple(fc.constantFrom(...KEYS), fc.option(fc.nat(99), { freq: 3 })), {
        minLength: 1,
        maxLength: 3,
      }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 6, 30, 200, 1100) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('deliver' as const),
      pick: fc.nat(20),
      copies: fc.constantFrom(1, 1, 1, 2),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('lose' as const), pick: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('ask' as const), frames: fc.constantFrom(0, 1, 2, 1000) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'restart-origin' as const,
        'restart-replica' as const,
        'restore' as const,
        'compact' as const,
        'not-exported' as const,
      ),
    }),
  },
)

class World {
  now = 0
  readonly origin = new Origin(0)
  readonly follower = new Follower(this.origin.truth)
  /** Messages on their way, in no order. */
  wire: Heard[] = []

  do(action: Action): void {
    const { origin, follower } = this
    switch (action.do) {
      case 'write':
        origin.truth.write(action.values)
        this.wire.push(...origin.publish(this.now))
        break
      case 'not-exported':
        origin.truth.revision++
        origin.truth.note()
        origin.publish(this.now)
        break
      case 'wait':
        this.now += action.ms
        this.wire.push(...origin.tick(this.now))
        follower.run(follower.replica.tick(this.now), this.now)
        break
      case 'deliver':
        this.#deliver(action.pick, action.copies)
        break
      case 'lose':
        if (this.wire.length > 0) this.wire.splice(action.pick % this.wire.length, 1)
        break
      case 'ask':
        this.ask(action.frames)
        break
      case 'restart-origin':
        origin.restart(this.now)
        break
      case 'restart-replica':
        follower.restart(this.now)
        break
      case 'restore':
        origin.truth.restore()
        origin.restart(this.now)
        break
      case 'compact':
        origin.truth.compacted = origin.truth.revision
        origin.truth.history.length = 0
    }
  }

  #deliver(pick: number, copies: number): void {
    if (this.wire.length === 0) return
    const index = pick % this.wire.length
    const message = this.wire[index]!
    if (copies === 1) this.wire.splice(index, 1)
    this.follower.run(this.follower.replica.hear(message, new Uint8Array(1), true, this.now), this.now)
  }

  /** An exchange that may break off after some frames. */
  ask(frames: number): void {
    const { replica } = this.follower
    const answer = this.origin.answer(replica.beginAttempt(this.now))
    for (const frame of answer.slice(0, frames)) {
      if ('end' in frame) this.follower.run(replica.end(frame.end, frame.message, true, this.now), this.now)
      else if (frame.type === 'begin') this.follower.run(replica.begin(frame, this.now), this.now)
      else this.follower.run(replica.chunk(frame, this.now), this.now)
    }
    if (frames < answer.length) replica.streamLost(this.now)
  }

  /** From now on nothing is lost, and whoever asks is answered. */
  settle(): void {
    for (let round = 0; round < 12; round++) {
      this.now += 900
      this.wire.push(...this.origin.publish(this.now), ...this.origin.tick(this.now))
      const before = this.follower.asks
      while (this.wire.length > 0) this.#deliver(0, 1)
      this.now += 200
      this.follower.run(this.follower.replica.tick(this.now), this.now)
      if (this.follower.asks > before) this.ask(1000)
    }
  }
}

describe('publisher and replica', () => {
  it('converge through loss, disorder, doubling, restarts, restores and compaction, by states that were', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const world = new World()
        for (const one of actions) world.do(one)
        world.settle()
        const { truth, publisher } = world.origin
        const { replica, entries } = world.follower
        expect(describeEntries(entries.values())).toBe(describeEntries(truth.entries.values()))
        expect(replica.epoch).toEqual(truth.epoch)
        expect(Buffer.from(replica.digest())).toEqual(Buffer.from(publisher.beacon().head.digest))
        expect(replica.revision).toBe(truth.revision)
        expect(replica.ageMs(world.now)).toBeLessThan(1500)
      }),
      { numRuns: 1500, seed: 1 },
    )
  })

  it('need no repair while everything arrives, in any order', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const world = new World()
        world.wire.push(...world.origin.tick(0))
        world.do({ do: 'deliver', pick: 0, copies: 1 })
        for (const one of actions) if (one.do === 'write' || one.do === 'wait' || one.do === 'deliver') world.do(one)
        world.settle()
        expect(world.follower.replica.counters).toMatchObject({ repairs: 0, snapshots: 0, rejected: 0 })
      }),
      { numRuns: 500, seed: 1 },
    )
  })
})
