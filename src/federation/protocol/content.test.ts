import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareKeys } from '../../model/keys.ts'
import type { ExportedEntry } from '../federation.ts'
import { digestAfter } from '../testing/heads.ts'
import { ProtocolError } from './codec.ts'
import { bucketAt, Content } from './content.ts'
import { bucketOf, hashEntry } from './digest.ts'
import { PAGE_BYTES, Page, packRecord } from './page.ts'

const entry = (key: string, value: Uint8Array, modRevision: number, createRevision = modRevision): ExportedEntry => ({
  key,
  value,
  createRevision,
  modRevision,
})
const plain = ({ key, value, createRevision, modRevision }: ExportedEntry) => [
  key,
  Buffer.from(value).toString('hex'),
  createRevision,
  modRevision,
]
const byKey = (a: ExportedEntry, b: ExportedEntry): number => compareKeys(a.key, b.key)

/** Keys that share beginnings, are empty, or sort another way in UTF-16. */
const key = fc.oneof(
  fc.nat(400).map((n) => `e/s/node-${n % 20}/web-${n}`),
  fc.string({ unit: 'grapheme', maxLength: 4 }),
  fc.constantFrom('', 'e', 'e/', '\u{10000}', '\uffff', 'é'),
)
const size = fc.oneof({ weight: 6, arbitrary: fc.nat(300) }, { weight: 1, arbitrary: fc.nat(60_000) })

describe('content', () => {
  it('is an ordered map with the digest of what is in it', () => {
    const step = fc.record({ key, size, deletes: fc.boolean(), clones: fc.nat(30), revision: fc.nat(2 ** 45) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        let content = new Content()
        const model = new Map<string, ExportedEntry>()
        let kept: { content: Content; entries: unknown } | undefined
        for (const [i, one] of steps.entries()) {
          if (one.deletes) {
            content.delete(one.key)
            model.delete(one.key)
          } else {
            const put = entry(one.key, new Uint8Array(one.size).fill(i), one.revision + 1, 1)
            content.put(put)
            model.set(one.key, put)
          }
          if (one.clones > 0) continue
          // What is cloned stays as it was, whichever side goes on.
          kept = { content, entries: content.entries().map(plain) }
          content = content.clone()
        }
        const expected = [...model.values()].sort(byKey)
        expect(content.entries().map(plain)).toEqual(expected.map(plain))
        expect(content.size).toBe(model.size)
        expect(content.bytes).toBe(content.pages().reduce((sum, page) => sum + page.size, 0))
        expect(Buffer.from(content.root())).toEqual(Buffer.from(digestAfter(...expected)))
        for (const one of expected) expect(plain(content.get(one.key)!)).toEqual(plain(one))
        const prefix = 'e/s/node-1'
        expect([...content.under(prefix)].map((view) => view.key)).toEqual(
          expected.map((one) => one.key).filter((name) => name.startsWith(prefix)),
        )
        if (kept) expect(kept.content.entries().map(plain)).toEqual(kept.entries)
      }),
      { numRuns: 150, seed: 7 },
    )
  })

  it('keeps pages of a middling size, whatever comes and goes', () => {
    const content = new Content()
    const order = Array.from({ length: 4000 }, (_, i) => (i * 1237) % 4000)
    for (const i of order) content.put(entry(`key-${i}`, new Uint8Array(100), i + 1))
    for (const page of content.pages()) expect(page.size).toBeLessThanOrEqual(2 * PAGE_BYTES)
    for (const i of order) content.delete(`key-${i}`)
    expect(content.pages()).toHaveLength(0)
    expect(content.bytes).toBe(0)
  })

  it('takes over pages as they are sent, in order only', () => {
    const content = new Content()
    for (let i = 0; i < 3000; i++)
      content.put(entry(`k${String(i).padStart(5, '0')}`, new Uint8Array(90).fill(i), i + 1))
    const sent = content.pages().map((page) => new Uint8Array(page.bytes))
    const copy = new Content()
    for (const bytes of sent) copy.append(Page.parse(bytes))
    expect(copy.entries().map(plain)).toEqual(content.entries().map(plain))
    expect(Buffer.from(copy.root())).toEqual(Buffer.from(content.root()))
    expect(() => copy.append(Page.parse(new Uint8Array(sent[0]!)))).toThrow(ProtocolError)
    copy.put(entry('k00100', new Uint8Array(5000), 9000))
    expect(copy.size).toBe(3000)
    expect(copy.holds(content.pages()[0]!.view(3))).toBe(true)
    expect(content.holds(copy.pages()[0]!.view(100))).toBe(false)
  })
})

describe('a page', () => {
  it('is refused when it is anything but records in order', () => {
    const record = (name: string, mod = 2, create = 1): Buffer =>
      Buffer.from(packRecord(entry(name, new Uint8Array([1, 2, 3]), mod, create)))
    const good = Buffer.concat([record('a'), record('b')])
    expect(Page.parse(good).count).toBe(2)
    for (const bad of [
      Buffer.alloc(0),
      good.subarray(0, good.length - 1),
      good.subarray(0, 10),
      Buffer.concat([record('b'), record('a')]),
      Buffer.concat([record('a'), record('a')]),
      record('a', 1, 2),
      Buffer.concat([Buffer.alloc(24, 0xff), record('a')]),
    ])
      expect(() => Page.parse(bad)).toThrow(ProtocolError)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          Page.parse(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError)
        }
      }),
      { numRuns: 300, seed: 3 },
    )
  })

  it('hashes and places its records as entries are', () => {
    const one = entry('e/s/né/1', new Uint8Array([9]), 2 ** 40 + 5, 3)
    const view = Page.of(packRecord(one)).view(0)
    expect(plain(view.entry())).toEqual(plain(one))
    expect(bucketAt(view)).toBe(bucketOf(one.key))
    const content = new Content()
    content.put(one)
    expect(Buffer.from(hashEntry(one))).toHaveLength(32)
    expect(Buffer.from(content.root())).toEqual(Buffer.from(digestAfter(one)))
  })
})
