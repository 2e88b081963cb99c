import { describe, expect, it } from 'vitest'
import { EPOCH, head, put } from '../testing/heads.ts'
import { answerOwn, answerReplica, chunksOf, type Held, type OwnContent } from './answering.ts'
import { EMPTY_DIGEST } from './digest.ts'
import type { AskFrame } from './tail.ts'

const ask = (rest: Partial<AskFrame> = {}): AskFrame => ({
  type: 'ask',
  attempt: 1,
  datacenter: 'eu-1',
  epoch: EPOCH,
  since: 10,
  mode: 'since',
  buckets: null,
  resumeId: '',
  resumeFrame: 0,
  ...rest,
})
const own: OwnContent = { speaks: true, epoch: EPOCH, publishedRevision: 20, storeRevision: 20 }
const another = { generation: 0, random: 'another' }

describe('a gateway answers', () => {
  it.each([
    ['what changed since', ask(), own, 'changes'],
    ['a repair with buckets', ask({ mode: 'repair' }), own, 'buckets'],
    ['with everything', ask({ mode: 'snapshot' }), own, 'snapshot'],
    [
      'a reader of another epoch with everything, whatever it asks',
      ask({ epoch: another, mode: 'repair' }),
      own,
      'snapshot',
    ],
    ['nothing while it may not speak', ask(), { ...own, speaks: false }, 'refuse'],
    ['nothing while it has nothing loaded', ask(), { ...own, epoch: undefined }, 'refuse'],
    ['nothing to one who knows more of this epoch', ask({ since: 21 }), own, 'refuse'],
    [
      'one who knows what the store does, and the publisher not yet',
      ask({ since: 21 }),
      { ...own, storeRevision: 21 },
      'changes',
    ],
  ] as const)('%s', (_what, frame, content, type) => {
    expect(answerOwn(frame, content).type).toBe(type)
  })
  it('with a snapshot that is not older than what the reader has, of the same epoch', () => {
    expect(answerOwn(ask({ mode: 'snapshot' }), own)).toMatchObject({ notBefore: 10 })
    expect(answerOwn(ask({ mode: 'snapshot', epoch: another }), own)).toMatchObject({ notBefore: 0 })
  })
})

describe('one who has only a replica answers', () => {
  const held = { loaded: true, proven: { head: head(15, EMPTY_DIGEST), envelope: new Uint8Array(1) } }
  const proven: Held = { ...held, need: () => undefined }
  const behind: Held = { ...held, need: () => 'since' }
  const wrong: Held = { ...held, need: () => 'repair' }
  const superseded: Held = { ...held, need: () => 'snapshot' }
  const nothing = { generation: 0, random: '' }
  it.each([
    ['a repair with buckets', ask({ mode: 'repair' }), proven, 'buckets'],
    ['all else with everything', ask(), proven, 'snapshot'],
    ['what it has while it is behind itself', ask(), behind, 'snapshot'],
    ['nothing while its own content is in doubt', ask({ mode: 'repair' }), wrong, 'refuse'],
    ['nothing to one who wants the next epoch, as it does itself', ask({ mode: 'snapshot' }), superseded, 'refuse'],
    [
      'one who has nothing with the epoch that is over, rather than not at all',
      ask({ mode: 'snapshot', epoch: nothing, since: 0 }),
      superseded,
      'snapshot',
    ],
    ['nothing while it has none', ask(), undefined, 'refuse'],
    ['nothing to one who knows more', ask({ since: 16 }), proven, 'refuse'],
    ['nothing to one of a newer epoch', ask({ epoch: { generation: 1, random: 'x' }, since: 0 }), proven, 'refuse'],
  ] as const)('%s', (_what, frame, replica, type) => {
    expect(answerReplica(frame, replica).type).toBe(type)
  })
})

describe('chunks', () => {
  it('hold everything once, in order, each below the target unless it is one entry', () => {
    const entries = Array.from({ length: 40 }, (_, i) => put(`k${i}`, 'v'.repeat(i * 3), i + 1))
    const chunks = [...chunksOf(entries, 200)]
    expect(chunks.flat()).toEqual(entries)
    expect(chunks.length).toBeGreaterThan(10)
    for (const chunk of chunks) {
      const bytes = chunk.reduce((sum, { key, value }) => sum + key.length + value!.length + 24, 0)
      expect(chunk.length === 1 || bytes <= 200).toBe(true)
    }
  })
})
