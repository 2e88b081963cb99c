import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FakeView, instance } from '../testing/fakes.ts'
import { SummaryFeed } from './feed.ts'
import { decodeEntries, encodeEntry } from './frames.ts'
import { SummaryMirror } from './mirror.ts'
import { decodeSummary, encodeSummary, MAX_ENDPOINTS, type Summary, summarize } from './summary.ts'
import { datacenterKey, serviceKey } from './wire.ts'

const noAfar = () => undefined
const summaryOf = (index: number, more: Partial<Summary> = {}): Summary => ({
  service: 'Web',
  index,
  instances: 1,
  passing: 1,
  held: false,
  stays: false,
  tags: ['a'],
  endpoints: [],
  ...more,
})

describe('a summary', () => {
  it('counts all, and names the healthiest few', () => {
    const view = new FakeView('eu-1')
    const many = Array.from({ length: 40 }, (_, i) => instance('web', `i${i}`, i % 10 === 0 ? 'passing' : 'critical'))
    view.set('web', [...many, instance('web', 'w', 'warning', { tags: ['x'], failover: false })])
    const summary = summarize(view, 'web', noAfar)!
    expect(summary).toMatchObject({ instances: 41, passing: 4, held: false, stays: true, tags: ['x'] })
    expect(summary.endpoints.map(({ status }) => status)).toEqual([...new Array(4).fill('passing'), 'warning'])
    view.setFailover('web', { service: 'web', since: 9 })
    expect(summarize(view, 'web', noAfar)!.held).toBe(true)
    expect(summarize(view, 'nothing', noAfar)).toBeUndefined()
  })

  it('does not name the same nodes for every service', () => {
    const view = new FakeView('eu-1')
    const named = new Set<string>()
    for (let s = 0; s < 20; s++) {
      view.set(
        `s${s}`,
        Array.from({ length: 50 }, (_, i) => instance(`s${s}`, `i${i}`)),
      )
      for (const { node } of summarize(view, `s${s}`, noAfar)!.endpoints) named.add(node)
    }
    expect(named.size).toBeGreaterThan(2 * MAX_ENDPOINTS)
  })

  it('comes back as it went, and what is none is refused', () => {
    const view = new FakeView('us-1')
    view.set('Web', [instance('Web', 'a', 'passing', { tags: ['ü', 'x'] }), instance('Web', 'b', 'warning')])
    const summary = summarize(view, 'Web', ({ service }) => service.taggedAddresses?.wan)!
    expect(decodeSummary(encodeSummary(summary))).toEqual(summary)
    for (const bytes of [
      new Uint8Array(),
      Uint8Array.of(0xc1),
      encodeSummary(summary).subarray(0, 20),
      Uint8Array.of(1),
    ])
      expect(() => decodeSummary(bytes)).toThrow(expect.objectContaining({ code: 'unavailable' }))
  })
})

describe('runs of entries', () => {
  it('come apart as they were put together; cut off they are refused', async () => {
    const entry = fc.record({
      key: fc.string({ maxLength: 20, unit: 'grapheme' }),
      value: fc.option(fc.uint8Array({ maxLength: 40 }), { nil: undefined }),
    })
    await fc.assert(
      fc.property(fc.array(entry, { maxLength: 10 }), fc.nat(), (entries, at) => {
        const parts = entries.map(encodeEntry)
        const bytes = new Uint8Array(Buffer.concat(parts))
        expect(decodeEntries(bytes)).toEqual(entries)
        const ends = parts.map((_, i) => parts.slice(0, i).reduce((sum, part) => sum + part.length, 0))
        const cut = bytes.length === 0 ? 0 : at % bytes.length
        if (cut > 0 && !ends.includes(cut)) expect(() => decodeEntries(bytes.subarray(0, cut))).toThrow()
      }),
    )
  })
})

describe('a feed and its mirrors', () => {
  it('agree, whatever changes, wherever a mirror is and however often it starts over', async () => {
    const change = fc.tuple(fc.nat(300), fc.option(fc.nat(1_000_000), { nil: undefined }))
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ type: fc.constant('change' as const), changes: fc.array(change, { maxLength: 40 }) }),
      },
      { weight: 6, arbitrary: fc.record({ type: fc.constant('ask' as const), mirror: fc.nat(2) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('lose' as const), mirror: fc.nat(2) }) },
    )
    await fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const feed = new SummaryFeed()
        const truth = new Map<string, number>()
        const mirrors = [new SummaryMirror(), new SummaryMirror(), new SummaryMirror()]
        const ask = (mirror: SummaryMirror): void => {
          const { feed: id, since, from } = mirror.request(0)
          const paging = id === 'f' && since < 0 && from > 0
          const delta = id === 'f' && since >= 0 ? feed.since(since) : undefined
          const restart = !paging && delta === undefined
          const answer = delta ?? feed.page(paging ? from : 0)
          const { next, ...rest } = answer
          const settled = answer.version === feed.version
          mirror.take(
            { feed: 'f', restart, settled, heldMs: 0, paceMs: 0, ...rest, ...(next !== undefined && { next }) },
            feed.version,
          )
        }
        feed.change([[datacenterKey('d'), new Uint8Array()]])
        for (const one of steps) {
          if (one.type === 'ask') ask(mirrors[one.mirror]!)
          else if (one.type === 'lose') mirrors[one.mirror] = new SummaryMirror()
          else {
            for (const [name, value] of one.changes)
              if (value === undefined) truth.delete(`s${name}`)
              else truth.set(`s${name}`, value)
            feed.change(
              one.changes.map(([name]) => {
                const index = truth.get(`s${name}`)
                // Large enough for several pages.
                const tags = [`${'x'.repeat(1_000)}${name}`]
                return [
                  serviceKey('d', `s${name}`),
                  index === undefined ? undefined : encodeSummary(summaryOf(index, { tags })),
                ]
              }),
            )
          }
        }
        for (const mirror of mirrors) {
          for (let i = 0; i < 50 && mirror.confirmedMs !== feed.version; i++) ask(mirror)
          expect(mirror.confirmedMs).toBe(feed.version)
          expect(mirror.size).toBe(truth.size)
          for (const [part, index] of truth) expect(mirror.summary('d', part)?.index).toBe(index)
          expect(mirror.covers('d')).toBe(true)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('forget deltas beyond a bound, and then all is taken anew', () => {
    const feed = new SummaryFeed()
    for (let i = 0; i < 600; i++) feed.change([['k', Uint8Array.of(i & 255, i >> 8)]])
    expect(feed.since(feed.version - 512)?.runs).toHaveLength(512)
    expect(feed.since(feed.version - 513)).toBeUndefined()
    expect(feed.since(feed.version + 1)).toBeUndefined()
    for (let i = 0; i < 40; i++) feed.change([['k', new Uint8Array(100_000).fill(i)]])
    expect(feed.since(feed.version - 30)).toBeUndefined()
    // An answer ends after so many bytes; the rest is asked for.
    const part = feed.since(feed.version - 15)!
    expect(part.runs).toHaveLength(2)
    expect(part.version).toBe(feed.version - 13)
  })

  it('count nothing as a change that is none', () => {
    const feed = new SummaryFeed()
    feed.change([['a', Uint8Array.of(1)]])
    feed.change([['a', Uint8Array.of(1)]])
    feed.change([['b', undefined]])
    expect(feed.version).toBe(1)
    expect(feed.since(1)).toEqual({ version: 1, next: undefined, runs: [] })
  })
})
