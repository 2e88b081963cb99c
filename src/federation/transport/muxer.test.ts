import { Uint8ArrayList } from 'uint8arraylist'
import { describe, expect, it } from 'vitest'
import { TokenBucket } from '../../model/token-bucket.ts'
import { VirtualClock } from '../../runtime/virtual.ts'
import { boundIncoming, type FrameHeader, gather, limitStreams } from './muxer.ts'
import { PackedList } from './packed-list.ts'

const UPDATE = 1
const update = (streamID: number, length: number, flag = 0): FrameHeader => ({ type: UPDATE, flag, streamID, length })

function muxer() {
  const sent: FrameHeader[] = []
  const streams: { streamId: number }[] = [{ streamId: 1 }]
  const gathered = {
    streams,
    opened: [] as number[],
    sendFrame(header: FrameHeader): unknown {
      return sent.push(header)
    },
    incomingStream(streamID: number): void {
      gathered.opened.push(streamID)
    },
  }
  gather(gathered)
  return { sent, streams, muxer: gathered }
}

describe('window updates', () => {
  it('are held until there is something to give back, and nothing of them is lost', () => {
    const { sent, muxer: one } = muxer()
    for (let i = 0; i < 1000; i++) one.sendFrame(update(1, 100))
    expect(sent.length).toBe(3)
    const given = sent.reduce((sum, { length }) => sum + length, 0)
    expect(100_000 - given).toBeLessThan(32 << 10)
    one.sendFrame(update(1, 200_000))
    expect(sent.reduce((sum, { length }) => sum + length, 0)).toBe(300_000)
  })

  it('that open, close or reset a stream go at once, as all else', () => {
    const { sent, muxer: one } = muxer()
    const frames = [update(1, 0, 1), update(1, 10, 2), update(1, 0, 4), { type: 0, flag: 0, streamID: 1, length: 1 }]
    for (const frame of frames) one.sendFrame(frame)
    expect(sent).toEqual(frames)
  })

  it('are kept apart by stream, and forgotten with it', () => {
    const { sent, streams, muxer: one } = muxer()
    for (let id = 1; id <= 999; id += 2) {
      streams[0] = { streamId: id }
      one.sendFrame(update(id, 30_000))
    }
    expect(sent).toEqual([])
    // Of stream 1 nothing is owed any more.
    one.sendFrame(update(1, 30_000))
    expect(sent).toEqual([])
  })
})

describe('what comes in', () => {
  const incoming = (readFrame: () => unknown = () => undefined) => {
    const stream = { readBuffer: new Uint8ArrayList() }
    const muxer = { decoder: { buffer: new Uint8ArrayList(), readFrame }, _newStream: () => stream }
    boundIncoming(muxer)
    return muxer
  }
  const header = (type: number, length: number): Buffer => {
    const bytes = Buffer.alloc(12)
    bytes[1] = type
    bytes.writeUInt32BE(length, 8)
    return bytes
  }

  it('waits in packed lists', () => {
    const muxer = incoming()
    expect(muxer.decoder.buffer).toBeInstanceOf(PackedList)
    expect(muxer._newStream().readBuffer).toBeInstanceOf(PackedList)
  })

  it('is refused when a frame is larger than any window, and only then', () => {
    for (const [type, length, refused] of [
      [0, 1 << 20, false],
      [0, (1 << 20) + 1, true],
      [0, 0xffff_ffff, true],
      // A window update, whose length is none.
      [1, 0xffff_ffff, false],
    ] as const) {
      const { decoder } = incoming()
      const bytes = header(type, length)
      decoder.buffer.append(bytes.subarray(0, 11))
      expect(decoder.readFrame()).toBeUndefined()
      decoder.buffer.append(bytes.subarray(11))
      if (refused) expect(() => decoder.readFrame()).toThrow(/no window is as large/)
      else expect(decoder.readFrame()).toBeUndefined()
    }
  })
})

it('streams that are opened too fast are reset, those after a pause are not', async () => {
  const { sent, muxer: one } = muxer()
  const clock = new VirtualClock()
  limitStreams(one, new TokenBucket({ perSecond: 10, burst: 5 }), clock)
  for (let id = 1; id <= 20; id++) one.incomingStream(id)
  expect(one.opened).toEqual([1, 2, 3, 4, 5])
  expect(sent).toHaveLength(15)
  expect(sent[0]).toEqual({ type: UPDATE, flag: 8, streamID: 6, length: 0 })
  await clock.advance(1000)
  one.incomingStream(21)
  expect(one.opened).toContain(21)
})
