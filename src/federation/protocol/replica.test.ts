import { beforeEach, describe, expect, it } from 'vitest'
import type { ExportedChange } from '../federation.ts'
import { beacon, del, delta, digestAfter, EPOCH, head, put } from '../testing/heads.ts'
import { settle } from '../testing/settle.ts'
import { Content } from './content.ts'
import { bucketOf, EMPTY_DIGEST } from './digest.ts'
import type { BeaconMessage, DeltaMessage, Head } from './messages.ts'
import { Replica, type ReplicaEffect } from './replica.ts'
import { bucketsToBitmap, type TransferKind } from './tail.ts'

let now = 0
let replica: Replica
const envelope = new Uint8Array([1])
const a1 = put('a', '1', 1)
const b2 = put('b', '2', 2)
const a3 = put('a', '3', 3, 1)
const at1 = head(1, digestAfter(a1))
const at2 = head(2, digestAfter(a1, b2))
const at3 = head(3, digestAfter(a3, b2))
const d1 = delta(0, at1, [a1])
const d2 = delta(1, at2, [b2])
const d3 = delta(2, at3, [a3])

const hear = (message: BeaconMessage | DeltaMessage, fresh = true): ReplicaEffect[] =>
  settle(replica, replica.hear(message, envelope, fresh, now), now)
const types = (effects: readonly ReplicaEffect[]): string[] => effects.map(({ type }) => type)

/** A whole transfer in answer to a new request. */
function transfer(kind: TransferKind, changes: readonly ExportedChange[], of: Head, from = 0, thirdParty = false) {
  const { attempt } = replica.beginAttempt(now, thirdParty)
  const bitmap = kind === 'buckets' ? bucketsToBitmap(new Set(changes.map(({ key }) => bucketOf(key)))) : null
  replica.begin({ type: 'begin', attempt, kind, id: 'id', firstFrame: 0, from, bitmap }, now)
  const refused = changes.flatMap((change, index) =>
    replica.chunk({ type: 'chunk', attempt, index, changes: [change] }, now),
  )
  const end = { type: 'end' as const, attempt, frames: changes.length, envelope }
  return [...refused, ...settle(replica, replica.end(end, beacon(of), !thirdParty, now), now)]
}

beforeEach(() => {
  now = 0
  replica = new Replica({ datacenter: 'eu-1' })
  hear(beacon(head(0, EMPTY_DIGEST)))
})

describe('a replica', () => {
  it('is loaded by an empty head, and by nothing less', () => {
    expect(replica).toMatchObject({ loaded: true, revision: 0 })
    const other = new Replica({ datacenter: 'eu-1' })
    expect(types(other.hear(beacon(at3), envelope, true, now))).toEqual(['ask'])
    expect(other.loaded).toBe(false)
    expect(other.beginAttempt(now)).toMatchObject({ mode: 'snapshot', since: 0 })
  })

  it('applies what fits, only what lies above it, and nothing twice', () => {
    expect(hear(d1)).toMatchObject([{ type: 'apply', revision: 1, changes: [a1] }])
    expect(hear(d1)).toEqual([])
    expect(hear(delta(0, at3, [b2, a3]))).toMatchObject([{ type: 'apply', revision: 3, changes: [b2, a3] }])
    expect(hear(d2)).toEqual([])
  })

  it('holds what came too early, and asks when the gap stays', () => {
    hear(d1)
    expect(hear(d3)).toEqual([])
    expect(replica.revision).toBe(1)
    expect(types(hear(d2))).toEqual(['apply', 'apply'])
    expect(replica.revision).toBe(3)

    replica = new Replica({ datacenter: 'eu-1' })
    hear(beacon(head(0, EMPTY_DIGEST)))
    expect(hear(d3)).toEqual([])
    expect(replica.wakeAtMs()).toBe(150)
    now = 150
    expect(types(replica.tick(now))).toEqual(['ask'])
    expect(replica.beginAttempt(now)).toMatchObject({ mode: 'since', since: 0, attempt: 1 })
  })

  it('advances without a delta when nothing exported changed', () => {
    hear(d1)
    expect(hear(beacon(head(9, at1.digest, { lastExported: 1 })))).toEqual([
      { type: 'apply', revision: 9, changes: [] },
    ])
    // The next delta begins at what was exported, not at where the replica stands.
    const a12 = put('a', '12', 12, 1)
    expect(types(hear(delta(1, head(12, digestAfter(a12)), [a12])))).toEqual(['apply'])
  })

  it('does not advance to a head with changes that it lacks', () => {
    hear(d1)
    expect(hear(beacon(at3))).toEqual([])
    expect(replica).toMatchObject({ revision: 1, headRevision: 3 })
    now = 150
    expect(types(replica.tick(now))).toEqual(['ask'])
  })

  it('commits nothing that does not give the digest, and repairs', () => {
    hear(d1)
    expect(types(hear(delta(1, at2, [put('b', 'forged', 2)])))).toEqual(['rejected', 'ask'])
    expect(replica).toMatchObject({ revision: 1, counters: { rejected: 1 } })
    // While in doubt nothing is applied.
    expect(hear(d2)).toEqual([])
    expect(replica.beginAttempt(now)).toMatchObject({ mode: 'repair', since: 1, buckets: expect.any(Uint8Array) })
    expect(types(transfer('buckets', [b2], at2))).toEqual(['merge', 'repair'])
    expect(replica).toMatchObject({ revision: 2, counters: { repairs: 1 } })
    expect(types(hear(d3))).toEqual(['apply'])
  })

  it('notices a content that is wrong, by a head alone', () => {
    hear(d1)
    expect(types(hear(beacon(head(5, at2.digest, { lastExported: 1 }))))).toEqual(['rejected', 'ask'])
  })

  it('asks for ever more when an answer does not add up', () => {
    hear(d1)
    hear(beacon(at3))
    expect(types(transfer('changes', [put('b', 'forged', 2), a3], at3, 1))).toEqual(['rejected'])
    expect(replica.need()).toBe('repair')
    now = replica.wakeAtMs()
    expect(types(replica.tick(now))).toEqual(['ask'])
    expect(types(transfer('buckets', [put('b', 'forged', 2)], at3))).toEqual(['merge', 'rejected'])
    expect(replica.need()).toBe('snapshot')
    expect(types(transfer('snapshot', [a3, put('c', 'forged', 2)], at3))).toEqual(['rejected'])
    expect(replica.revision).toBe(1)
    expect(types(transfer('snapshot', [a3, b2], at3))).toEqual(['install'])
    expect(replica).toMatchObject({ revision: 3, counters: { snapshots: 1, rejected: 3 } })
  })

  it('catches up by changes, in order', () => {
    hear(d1)
    hear(beacon(at3))
    expect(transfer('changes', [b2, a3], at3, 1)).toMatchObject([{ type: 'apply', revision: 3, changes: [b2, a3] }])
    hear(beacon(head(4, digestAfter(a3))))
    expect(transfer('changes', [del('b', 4)], head(4, digestAfter(a3)), 2)).toMatchObject([
      { type: 'apply', revision: 4, changes: [del('b', 4)] },
    ])
  })

  it('takes what gossip brought in between into account', () => {
    hear(d1)
    const { attempt } = replica.beginAttempt(now)
    replica.begin({ type: 'begin', attempt, kind: 'changes', id: '', firstFrame: 0, from: 1, bitmap: null }, now)
    replica.chunk({ type: 'chunk', attempt, index: 0, changes: [b2, a3] }, now)
    expect(types(hear(d2))).toEqual(['apply'])
    const end = { type: 'end' as const, attempt, frames: 1, envelope }
    expect(replica.end(end, beacon(at3), true, now)).toMatchObject([{ type: 'apply', revision: 3, changes: [a3] }])
  })
})

describe('a transfer', () => {
  beforeEach(() => {
    hear(d1)
    hear(beacon(at3))
  })
  const begin = (attempt: number, firstFrame = 0, kind: TransferKind = 'snapshot') =>
    replica.begin({ type: 'begin', attempt, kind, id: 'id', firstFrame, from: 0, bitmap: null }, now)
  const end = (attempt: number, frames: number) =>
    replica.end({ type: 'end', attempt, frames, envelope }, beacon(at3), true, now)

  it('that is empty or cut off deletes nothing', () => {
    const { attempt } = replica.beginAttempt(now)
    begin(attempt)
    expect(types(end(attempt, 0))).toEqual(['rejected'])
    expect(replica.content.size).toBe(1)
    const second = replica.beginAttempt(now).attempt
    begin(second)
    replica.chunk({ type: 'chunk', attempt: second, index: 0, changes: [a3] }, now)
    expect(types(end(second, 2))).toEqual(['rejected', 'abandon'])
    replica.streamLost(now)
    expect(replica).toMatchObject({ content: { size: 1 }, revision: 1 })
  })

  it('skips no chunk', () => {
    const { attempt } = replica.beginAttempt(now)
    begin(attempt)
    expect(types(replica.chunk({ type: 'chunk', attempt, index: 1, changes: [a3] }, now))).toEqual([
      'rejected',
      'abandon',
    ])
  })

  it('of a former attempt is ignored', () => {
    const { attempt } = replica.beginAttempt(now)
    replica.beginAttempt(now)
    expect([...begin(attempt), ...end(attempt, 0)]).toEqual([])
    expect(replica.counters.rejected).toBe(0)
  })

  it('that is a snapshot goes on where it was cut off', () => {
    hear(beacon(head(9, at3.digest, { epoch: { generation: 1, random: 'b' } })))
    const { attempt } = replica.beginAttempt(now)
    begin(attempt)
    replica.chunk({ type: 'chunk', attempt, index: 0, changes: [a3] }, now)
    replica.streamLost(now)
    const again = replica.beginAttempt(now)
    expect(again).toMatchObject({ mode: 'snapshot', resumeId: 'id', resumeFrame: 1 })
    expect(begin(again.attempt, 1)).toEqual([])
    replica.chunk({ type: 'chunk', attempt: again.attempt, index: 1, changes: [b2] }, now)
    const newer = head(9, at3.digest, { epoch: { generation: 1, random: 'b' } })
    const done = replica.end({ type: 'end', attempt: again.attempt, frames: 2, envelope }, beacon(newer), true, now)
    expect(done).toMatchObject([{ type: 'install', revision: 9, epoch: { generation: 1 } }])
  })

  it('that stops is given up, and asked for again later', () => {
    const { attempt } = replica.beginAttempt(now)
    now = 4999
    begin(attempt)
    expect(replica.tick(now)).toEqual([])
    now = replica.wakeAtMs()
    expect(now).toBe(9999)
    expect(types(replica.tick(now))).toEqual(['abandon'])
    now = replica.wakeAtMs()
    expect(types(replica.tick(now))).toEqual(['ask'])
  })

  it('never goes back in the same history', () => {
    expect(types(transfer('snapshot', [a3, b2], at3))).toEqual(['install'])
    expect(transfer('snapshot', [a1], at1)).toEqual([])
    expect(replica.revision).toBe(3)
  })

  it('from a third party may be a snapshot or buckets, and proves no life', () => {
    now = 5000
    expect(replica.beginAttempt(now, true).mode).toBe('repair')
    expect(types(transfer('buckets', [a3, b2], at3, 0, true))).toEqual(['merge', 'repair'])
    expect(replica.revision).toBe(3)
    expect(replica.ageMs(now)).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('a third party that has no more than the replica', () => {
  it('is like one that has nothing: the next attempt waits', () => {
    hear(d1)
    hear(beacon(at3))
    expect(transfer('buckets', [a1], at1, 0, true)).toEqual([])
    expect(replica.need()).toBe('since')
    expect(replica.wakeAtMs()).toBe(200)
    expect(types(replica.tick(200))).toEqual(['ask'])
    expect(transfer('buckets', [a1], at1, 0, true)).toEqual([])
    expect(replica.wakeAtMs()).toBeGreaterThanOrEqual(400)
  })
})

describe('epochs', () => {
  const newer = { generation: 1, random: 'bb' }
  beforeEach(() => {
    hear(d1)
  })

  it('that are older are ignored', () => {
    transfer('snapshot', [b2], head(1, digestAfter(b2), { epoch: newer }))
    expect(replica.epoch).toEqual(newer)
    expect(hear(beacon(at3))).toEqual([])
    expect(replica).toMatchObject({ headRevision: 1 })
    expect(replica.isQuarantined(now)).toBe(false)
  })

  it('that are newer call for a snapshot, and leave the content until it is there', () => {
    expect(types(hear(delta(1, head(2, EMPTY_DIGEST, { epoch: newer }), [])))).toEqual(['ask'])
    expect(replica).toMatchObject({ content: { size: 1 }, epoch: EPOCH })
    expect(replica.beginAttempt(now)).toMatchObject({ mode: 'snapshot' })
    expect(types(transfer('snapshot', [], head(2, EMPTY_DIGEST, { epoch: newer })))).toEqual(['install'])
    expect(replica).toMatchObject({ content: { size: 0 }, epoch: newer, revision: 2 })
  })

  it('of the same generation are held off, visibly for a minute, or until a newer one', () => {
    const rival = { generation: 0, random: 'rival' }
    expect(hear(beacon(head(50, EMPTY_DIGEST, { epoch: rival })))).toEqual([])
    expect(replica).toMatchObject({ content: { size: 1 }, headRevision: 1 })
    expect(replica.isQuarantined(59_999)).toBe(true)
    expect(replica.isQuarantined(60_000)).toBe(false)
    expect(types(hear(d2))).toEqual(['apply'])
    hear(beacon(head(1, EMPTY_DIGEST, { epoch: newer })))
    expect(replica.isQuarantined(0)).toBe(false)
  })
})

describe('age', () => {
  const UNKNOWN = Number.POSITIVE_INFINITY
  const beat = (atMs: number, sequence: number, fresh = true) => {
    now = atMs
    hear(beacon(head(1, at1.digest, { sequence })), fresh)
    return replica.ageMs(now)
  }

  it('is since the replica last stood at a fresh head', () => {
    hear(d1)
    expect(beat(1000, 8)).toBe(0)
    now = 1700
    expect(replica.ageMs(now)).toBe(700)
    expect(beat(2000, 8, false)).toBe(1000)
    expect(beat(2000, 9)).toBe(0)
  })

  it('is unknown for a copy from somebody, until news is heard to flow', () => {
    replica = new Replica({ datacenter: 'eu-1' })
    transfer('snapshot', [a1], at1, 0, true)
    expect(replica).toMatchObject({ loaded: true, revision: 1 })
    expect(replica.ageMs(now)).toBe(UNKNOWN)
    expect(beat(3000, 8, false)).toBe(UNKNOWN)
    // The first may have been held up, for nobody knows how long, and what comes right behind it as well.
    expect(beat(4000, 9)).toBe(UNKNOWN)
    expect(beat(4400, 10)).toBe(UNKNOWN)
    expect(beat(5400, 11)).toBe(0)
  })

  it('of a replica from disk goes on from what was saved with it', () => {
    const content = new Content()
    content.apply(a1)
    replica = new Replica({ datacenter: 'eu-1' })
    replica.restore({ epoch: EPOCH, revision: 1, content, proven: undefined, ageMs: 60_000 }, now)
    replica.installed(now)
    expect(replica.ageMs(now + 500)).toBe(60_500)
    expect(beat(1000, 9)).toBe(61_000)
    expect(beat(2000, 10)).toBe(0)
  })

  it('contains how late a head came after a silence, until one comes that was not held up with it', () => {
    hear(d1)
    expect(beat(1000, 9)).toBe(0)
    expect(beat(2100, 10)).toBe(0)
    expect(beat(7100, 11)).toBe(3800)
    expect(beat(7200, 12)).toBe(3900)
    expect(beat(7999, 13)).toBe(4699)
    expect(beat(8000, 14)).toBe(0)
  })

  it('goes on over one hold-up after another', () => {
    hear(d1)
    beat(1000, 9)
    expect(beat(4000, 10)).toBe(1800)
    expect(beat(7000, 11)).toBe(4800)
    expect(beat(7900, 12)).toBe(0)
  })

  it('grows while the replica is behind, whatever is heard', () => {
    hear(d1)
    beat(1000, 9)
    now = 2000
    hear(beacon(at3))
    hear(beacon(head(1, at1.digest, { sequence: 99 })))
    expect(replica.ageMs(now)).toBe(1000)
    transfer('changes', [b2, a3], at3, 1)
    expect(replica.ageMs(now)).toBe(0)
  })
})

describe('bounds', () => {
  it('hold only so much of what comes too early', () => {
    hear(d1)
    for (let i = 0; i < 2000; i++) hear(delta(10 + i, head(11 + i, at1.digest), [put(`k${i}`, 'x', 11 + i)]))
    expect(types(transfer('changes', [b2, a3], at3, 1))).toEqual(['apply', 'ask'].slice(0, 1))
    expect(replica.revision).toBe(3)
  })
})

describe('a replica of a datacenter that was forgotten and is back', () => {
  beforeEach(() => {
    replica = new Replica({ datacenter: 'eu-1' })
    replica.succeed({ head: at2, envelope })
  })

  it('takes nothing of its epoch that is older than what was answered before', () => {
    expect(types(hear(beacon(head(0, EMPTY_DIGEST))))).toEqual(['ask'])
    expect(types(transfer('snapshot', [a1], at1))).not.toContain('install')
    expect(replica.loaded).toBe(false)
    expect(types(transfer('snapshot', [a3, b2], at3))).toContain('install')
    expect(replica.revision).toBe(3)
  })
  it('knows its last head, so that a store which was lost meanwhile is told of it', () => {
    expect(replica.top?.head).toBe(at2)
    hear(beacon(head(9, EMPTY_DIGEST, { epoch: { ...EPOCH, random: 'another' } })))
    expect(replica.isQuarantined(now)).toBe(true)
  })
  it('begins empty in a newer epoch', () => {
    const epoch = { generation: 1, random: 'x' }
    expect(types(hear(beacon(head(0, EMPTY_DIGEST, { epoch }))))).toEqual(['install'])
  })
})

describe('a repair that was overtaken', () => {
  it('is put in place as a whole: what came and went since it was asked for is in neither end of it', () => {
    hear(d1)
    const { attempt } = replica.beginAttempt(now, true)
    const c2 = put('c', 'short-lived', 2)
    hear(delta(1, head(2, digestAfter(a1, c2)), [c2]))
    const a4 = put('a', '4', 4, 1)
    const bitmap = bucketsToBitmap(new Set([bucketOf('a')]))
    replica.begin({ type: 'begin', attempt, kind: 'buckets', id: 'id', firstFrame: 0, from: 0, bitmap }, now)
    replica.chunk({ type: 'chunk', attempt, index: 0, changes: [a4] }, now)
    const of = head(4, digestAfter(a4))
    const effects = replica.end({ type: 'end', attempt, frames: 1, envelope }, beacon(of), false, now)
    expect(types(settle(replica, effects, now))).toEqual(['merge', 'install'])
    expect(replica.content.entries().map(({ key }) => key)).toEqual(['a'])
  })
})
