import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ExportedEntry } from '../federation.ts'
import { digestAfter, put } from '../testing/heads.ts'
import { Content } from './content.ts'
import { BucketDigest, bucketOf, differingBuckets, EMPTY_DIGEST, equalBytes, hashEntry } from './digest.ts'

const entry = (key: string, value: string, modRevision: number, createRevision = modRevision): ExportedEntry =>
  put(key, value, modRevision, createRevision) as ExportedEntry
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('hash of an entry', () => {
  const base = entry('e/n/a', 'value', 9, 4)
  it.each([
    ['key', entry('e/n/b', 'value', 9, 4)],
    ['value', entry('e/n/a', 'valuf', 9, 4)],
    ['createRevision', entry('e/n/a', 'value', 9, 5)],
    ['modRevision', entry('e/n/a', 'value', 10, 4)],
    ['a high modRevision', entry('e/n/a', 'value', 9 + 2 ** 40, 4)],
    ['where the key ends', entry('e/n/av', 'alue', 9, 4)],
  ])('changes with its %s', (_what, other) => {
    expect(hex(hashEntry(other))).not.toBe(hex(hashEntry(base)))
  })
  it('takes values of any length', () => {
    for (const length of [0, 10_000, 60_000, 1024 * 1024]) {
      const value = new Uint8Array(length).fill(1)
      expect(hashEntry({ key: 'k', value, createRevision: 1, modRevision: 1 })).toHaveLength(32)
    }
  })
})

describe('digest', () => {
  it('is known for the empty content', () => {
    expect(hex(EMPTY_DIGEST)).toBe(hex(new Content().root()))
  })

  it('depends on what is there alone, not on the way there', () => {
    const step = fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), fc.option(fc.nat(5)))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const digest = new Content()
        const final = new Map<string, ExportedEntry>()
        steps.forEach(([key, value], i) => {
          if (value === null) {
            digest.delete(key)
            final.delete(key)
          } else {
            const one = entry(key, `${value}`, i + 1)
            digest.put(one)
            final.set(key, one)
          }
          // Reading it in between must not matter.
          if (i % 3 === 0) digest.root()
        })
        expect(hex(digest.root())).toBe(hex(digestAfter(...final.values())))
        expect(digest.size).toBe(final.size)
      }),
      { numRuns: 200, seed: 1 },
    )
  })

  it('shows in which buckets two contents differ', () => {
    const one = new Content()
    const other = new Content()
    for (let i = 0; i < 3000; i++) {
      one.put(entry(`key-${i}`, 'x', i + 1))
      other.put(entry(`key-${i}`, i === 77 ? 'y' : 'x', i + 1))
    }
    expect([...differingBuckets(one.bucketHashes(), other.bucketHashes())]).toEqual([bucketOf('key-77')])
  })

  it('spreads keys that look alike over the buckets', () => {
    const counts = new Array<number>(1024).fill(0)
    for (let i = 0; i < 50_000; i++) counts[bucketOf(`e/s/node-${i % 500}/web-${i}`)]!++
    expect(Math.max(...counts)).toBeLessThan(120)
    expect(Math.min(...counts)).toBeGreaterThan(10)
  })

  it('takes back what was added', () => {
    const digest = new BucketDigest()
    const hash = hashEntry(entry('k', 'v', 1))
    digest.add(5, hash)
    expect(equalBytes(digest.root(), EMPTY_DIGEST)).toBe(false)
    digest.subtract(5, hash)
    expect(equalBytes(digest.root(), EMPTY_DIGEST)).toBe(true)
  })
})

describe('content', () => {
  it('takes changes only when they give the digest, otherwise none', () => {
    const content = new Content()
    const first = [put('a', '1', 1), put('b', '1', 1)]
    expect(content.tryChanges(first, digestAfter(...first))).toHaveLength(2)
    const before = hex(content.root())
    expect(content.tryChanges([put('a', '2', 2), put('c', '2', 2)], digestAfter(...first))).toBeUndefined()
    expect(hex(content.root())).toBe(before)
    expect(content.entries().map(({ modRevision }) => modRevision)).toEqual([1, 1])
    const second = [put('a', '2', 2), put('a', '3', 3), { ...put('b', '', 3), value: null, createRevision: 0 }]
    expect(content.tryChanges(second, digestAfter(put('a', '3', 3)))).toMatchObject([
      { former: put('a', '1', 1).value },
      { former: put('a', '2', 2).value },
      { former: put('b', '1', 1).value },
    ])
    expect(content.size).toBe(1)
  })
})
