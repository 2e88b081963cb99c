import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { describe, expect, it } from 'vitest'
import { beacon, delta, digestAfter, head, put } from '../testing/heads.ts'
import { decode, encode, isProtocolError, ProtocolError } from './codec.ts'
import { decodeHello, encodeHello } from './hello.ts'
import { CAPABILITIES } from './limits.ts'
import { decodeMessage, encodeMessage, type KnownMessage } from './messages.ts'
import { type AskFrame, bitmapToBuckets, bucketsToBitmap, decodeFrame, encodeFrame, type TailFrame } from './tail.ts'

const at7 = head(7, digestAfter(put('a', 'x', 7)), { epoch: { generation: 3, random: 'ff' } })
const about = { datacenter: 'eu-1', datacenterId: 'id-eu-1' }
const messages: KnownMessage[] = [
  beacon(at7),
  { ...beacon(at7), suspects: ['us-1', 'ap-1'] },
  { ...beacon(at7), suspects: [], reach: new Uint8Array([1, 2, 3, 4, 0, 80]) },
  delta(2, at7, [put('a', 'x', 7), { key: 'b', value: null, createRevision: 0, modRevision: 7 }]),
  { type: 'gateway', ...about, boot: 2 ** 50, sequence: 4, addresses: [] },
  { type: 'leave', ...about, boot: 1, sequence: 2 },
  {
    type: 'place',
    ...about,
    boot: 1,
    sequence: 2,
    coordinate: { vec: [0.5, -0.25, 0, 0, 0, 0, 0, 0.125], error: 1.5, adjustment: -0.0625, height: 2 ** -16 },
  },
]
const ask: AskFrame = {
  type: 'ask',
  capabilities: CAPABILITIES,
  attempt: 1,
  datacenter: 'eu-1',
  epoch: at7.epoch,
  since: 2 ** 41,
  mode: 'repair',
  buckets: new Uint8Array(8192).fill(3),
  resumeId: '',
  resumeFrame: 0,
}
const frames: Exclude<TailFrame, { type: 'unknown' }>[] = [
  ask,
  {
    type: 'begin',
    attempt: 1,
    kind: 'buckets',
    id: 'x',
    firstFrame: 0,
    from: 0,
    bitmap: bucketsToBitmap(new Set([5, 1023])),
  },
  { type: 'chunk', attempt: 1, index: 9, changes: [put('k', 'v', 3, 1)] },
  { type: 'end', attempt: 1, frames: 10, envelope: new Uint8Array([1]) },
  { type: 'live', envelope: new Uint8Array([1, 2]) },
  { type: 'refuse', attempt: 1, reason: 'behind' },
]
const hello = {
  positions: [
    { ...about, epoch: at7.epoch, revision: 5, state: 'lost' as const, ageMs: 12, roundTripMs: 80.5 },
    { ...about, epoch: at7.epoch, revision: 0, state: 'live' as const, ageMs: 0, roundTripMs: undefined },
    { ...about, epoch: at7.epoch, revision: 3, state: 'live' as const, ageMs: Infinity, roundTripMs: undefined },
  ],
  records: [new Uint8Array([1, 2, 3])],
  proof: null,
}

/** Binary as plain arrays, whatever class it came in. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_key, item) =>
      item?.type === 'Buffer' ? item.data : ArrayBuffer.isView(item) ? [...(item as Uint8Array)] : item,
    ),
  )

const decoders: [name: string, decoder: (bytes: Uint8Array) => unknown][] = [
  ['message', decodeMessage],
  ['frame', decodeFrame],
  ['hello', decodeHello],
]

describe('codecs', () => {
  it.each(messages)('give back the message $type', (message) => {
    expect(plain(decodeMessage(encodeMessage(message)))).toEqual(plain(message))
  })
  it.each(frames)('give back the frame $type', (frame) => {
    expect(plain(decodeFrame(encodeFrame(frame)))).toEqual(plain(frame))
  })
  it('give back a hello', () => {
    expect(plain(decodeHello(encodeHello(hello)))).toMatchObject(plain(hello) as object)
  })
  it('keep a beacon small', () => {
    expect(encodeMessage(beacon(at7)).length).toBeLessThan(200)
  })
  it('leave out of a hello what does not fit', () => {
    const records = Array.from({ length: 5000 }, () => new Uint8Array(1000))
    expect(decodeHello(encodeHello({ ...hello, records })).records.length).toBeLessThan(1100)
  })
  it('know buckets by their bits', () => {
    expect([...bitmapToBuckets(bucketsToBitmap(new Set([0, 8, 1023])))]).toEqual([0, 8, 1023])
  })
  it('pass on kinds of a later version, and overlook what it added to known ones; do without what a former one lacks', () => {
    expect(decodeMessage(encode(['atoll/federation', 2, 0, 99, 'eu-1', 'id', [1, 2]]))).toEqual({
      type: 'unknown',
      datacenter: 'eu-1',
      datacenterId: 'id',
    })
    const longer = [...decode(encodeMessage(messages[4]!), { maxBytes: 1e6, maxItems: 1e3 }), 'new', [1]]
    expect(decodeMessage(encode(longer))).toEqual(messages[4])
    const former = (decode(encodeMessage(messages[1]!), { maxBytes: 1e6, maxItems: 1e3 }) as never[]).slice(0, -1)
    expect(plain(decodeMessage(encode(former)))).toEqual(plain(messages[0]))
    expect(decodeFrame(encode([2, 0, 77, 'x']))).toEqual({ type: 'unknown' })
  })
})

describe('hostile input', () => {
  const packr = new Packr({ useRecords: false, moreTypes: true, structuredClone: true })
  const bad: [string, Uint8Array][] = [
    ['nothing', new Uint8Array()],
    ['a map', packr.pack({ __proto__: null, a: 1 })],
    ['a map within', packr.pack([1, { constructor: 1 }])],
    ['a Set', packr.pack([new Set([1])])],
    ['a Date', packr.pack([new Date()])],
    ['a RegExp', packr.pack([/x/])],
    ['a record', new Packr().pack([{ a: 1 }])],
    ['undefined', packr.pack([undefined])],
    ['a huge array', new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff])],
    ['huge bytes', new Uint8Array([0x91, 0xc6, 0xff, 0xff, 0xff, 0xff])],
    ['a huge string', new Uint8Array([0x91, 0xdb, 0xff, 0xff, 0xff, 0xff])],
    ['a deep nest', new Uint8Array(100_000).fill(0x91)],
    ['bytes behind the end', Uint8Array.from([0x90, 0x00])],
    ['a scalar', new Uint8Array([0x01])],
  ]
  it.each(bad)('is refused: %s', (_name, bytes) => {
    for (const [, decoder] of decoders) expect(() => decoder(bytes)).toThrow(ProtocolError)
  })

  it.each([
    ['from above the head', delta(7, at7, [])],
    ['changes out of order', delta(1, at7, [put('a', 'x', 7), put('b', 'x', 3)])],
    ['a change beyond the head', delta(1, at7, [put('a', 'x', 8)])],
    ['a change below from', delta(3, at7, [put('a', 'x', 3)])],
    ['created after its last change', delta(1, at7, [put('a', 'x', 5, 6)])],
    ['lastExported above revision', beacon({ ...at7, lastExported: 8 })],
    ['a short digest', beacon({ ...at7, digest: new Uint8Array(31) })],
    ['a negative revision', beacon({ ...at7, revision: -1 })],
    ['a fraction', beacon({ ...at7, revision: 7.5 })],
    ['too many addresses', { ...beacon(at7), addresses: Array.from({ length: 17 }, () => '/x') }],
    ['a long name', { ...messages[3]!, datacenter: 'x'.repeat(129) }],
    ['a name that is a path', { ...messages[3]!, datacenter: '../etc' }],
    ['a long key', delta(1, at7, [put('k'.repeat(4097), 'x', 7)])],
  ] as [string, KnownMessage][])('is refused: %s', (_name, message) => {
    expect(() => decodeMessage(encodeMessage(message))).toThrow(ProtocolError)
  })

  it('never throws anything but a ProtocolError', () => {
    const good = [...messages.map(encodeMessage), ...frames.map(encodeFrame), encodeHello(hello)]
    const mutated = fc
      .tuple(fc.constantFrom(...good), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 8 }), fc.nat())
      .map(([bytes, changes, length]) => {
        const out = bytes.slice(0, length % 3 === 0 ? length % (bytes.length + 1) : bytes.length)
        for (const [index, value] of changes) if (out.length > 0) out[index % out.length] = value
        return out
      })
    const junk = fc.uint8Array({ maxLength: 200 })
    const values = fc.anything({ withMap: true, withSet: true, withDate: true, withTypedArray: true }).map((value) => {
      try {
        return new Uint8Array(packr.pack([1, value, value]))
      } catch {
        return new Uint8Array()
      }
    })
    fc.assert(
      fc.property(fc.oneof(mutated, junk, values), (bytes) => {
        for (const [, decoder] of decoders) {
          try {
            decoder(bytes)
          } catch (error) {
            if (!isProtocolError(error)) throw error
          }
        }
      }),
      { numRuns: 5000, seed: 1 },
    )
  })
})
