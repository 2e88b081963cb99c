import { describe, expect, it } from 'vitest'
import { head } from '../testing/heads.ts'
import { EMPTY_DIGEST } from './digest.ts'
import type { Head } from './messages.ts'
import { OwnStanding, type OwnStore } from './own-standing.ts'

const epoch = (generation: number, random = 'aa') => ({ generation, random })
const said = (revision: number, generation = 0, random = 'aa') =>
  head(revision, EMPTY_DIGEST, { epoch: epoch(generation, random) })
const own: OwnStore = { epoch: epoch(0), revision: 50 }
const raise = ({ epoch, revision }: Head) => ({ type: 'raise' as const, seen: { epoch, revision } })
const make = (canRaise = true) => new OwnStanding({ selfPeerId: 'self', canRaise })

describe('a head of the own datacenter', () => {
  it.each([
    ['what the store knows', said(50), 'other', []],
    ['an older generation', said(99, 0), 'other', [], { epoch: epoch(1), revision: 1 }],
    ['more than the store holds, signed by this very node', said(60), 'self', [raise(said(60))]],
    ['a newer generation', said(3, 4), 'other', [raise(said(3, 4))]],
    ['another store of the generation, further than this one', said(60, 0, 'bb'), 'other', [raise(said(60, 0, 'bb'))]],
    ['another store of the generation, which is the younger', said(5, 0, 'bb'), 'other', []],
    ['a former store of this very node', said(5, 0, 'bb'), 'self', [raise(said(5, 0, 'bb'))]],
  ] as const)('that tells %s', (_what, at, signer, effects, store: OwnStore = own) => {
    expect(make().heard(at, signer, store, 0)).toEqual(effects)
  })

  it('of a fellow server is given a second: its store is the same one', () => {
    const standing = make()
    expect(standing.heard(said(60), 'fellow', own, 0)).toEqual([])
    expect(standing.wakeAtMs()).toBe(1000)
    expect(standing.tick({ ...own, revision: 60 }, 1000)).toEqual([])
    expect(standing.heard(said(70), 'fellow', own, 2000)).toEqual([])
    expect(standing.tick(own, 3000)).toEqual([raise(said(70))])
  })
})

describe('what is heard while something else is being dealt with', () => {
  it('is acted upon at once when no lag explains it', () => {
    const standing = make()
    standing.heard(said(60), 'fellow', own, 0)
    expect(standing.heard(said(3, 4), 'other', own, 10)).toEqual([raise(said(3, 4))])
  })
  it('is looked at afterwards: nobody may tell it again', () => {
    const standing = make()
    standing.heard(said(60), 'self', own, 0)
    expect(standing.heard(said(3, 4), 'other', own, 10)).toEqual([])
    expect(standing.heard(said(70), 'other', own, 11)).toEqual([])
    standing.raised()
    expect(standing.wakeAtMs()).toBe(0)
    expect(standing.tick({ epoch: epoch(1), revision: 50 }, 20)).toEqual([raise(said(3, 4))])
    standing.raised()
    expect(standing.wakeAtMs()).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('raising', () => {
  it('is tried again when it fails, ever later; what is heard meanwhile waits', () => {
    const standing = make()
    standing.heard(said(60), 'self', own, 0)
    const pauses: number[] = []
    for (let now = 0; pauses.length < 7; now = standing.wakeAtMs()) {
      if (now > 0) expect(standing.tick(own, now)).toEqual([raise(said(60))])
      standing.raiseFailed(now)
      expect(standing.heard(said(99), 'self', own, now)).toEqual([])
      pauses.push(standing.wakeAtMs() - now)
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
    standing.raised()
    expect(standing.heard(said(60), 'self', { epoch: epoch(1), revision: 50 }, 1)).toEqual([])
  })

  it('ends after three times: two stores that both claim the datacenter would raise each other for ever', () => {
    const standing = make()
    for (let generation = 1; generation <= 3; generation++) {
      expect(standing.heard(said(1, generation * 2), 'rival', own, 0)).toHaveLength(1)
      standing.raised()
    }
    const store = { epoch: epoch(7), revision: 50 }
    expect(standing.heard(said(1, 8), 'rival', store, 0)).toEqual([
      { type: 'give-up', standing: 'superseded', suspend: false },
    ])
    expect(standing.heard(said(60, 7), 'self', store, 0)).toEqual([
      { type: 'give-up', standing: 'rolled-back', suspend: true },
    ])
  })

  it('is not tried where nobody can do it', () => {
    expect(make(false).heard(said(60), 'self', own, 0)).toEqual([
      { type: 'give-up', standing: 'rolled-back', suspend: true },
    ])
  })
})

describe('a store that several servers write to', () => {
  it('is not raised when it turns out to be abreast, and does not use up a raise', () => {
    const standing = make()
    for (let i = 0; i < 10; i++) {
      expect(standing.heard(said(3, 4), 'fellow', own, i)).toEqual([raise(said(3, 4))])
      standing.abreast()
      expect(standing.wakeAtMs()).toBe(Number.POSITIVE_INFINITY)
    }
  })
})
