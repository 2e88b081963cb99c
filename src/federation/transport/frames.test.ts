import type { Stream } from '@libp2p/interface'
import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../../runtime/virtual.ts'
import type { Peer } from '../host.ts'
import { boundedReader } from './bounded-reader.ts'
import { encodeFrame, FrameDecoder, StreamFrames } from './frames.ts'

const drain = (decoder: FrameDecoder): number[][] => {
  const frames: number[][] = []
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push([...frame])
  return frames
}

describe('frame decoder', () => {
  it('gives the same frames however the bytes were cut', () => {
    const sent = [[1, 2, 3], [], [4], Array.from({ length: 300 }, (_, at) => at & 255)]
    const bytes = Buffer.concat(sent.map((frame) => encodeFrame(Uint8Array.from(frame)).subarray()))
    for (let size = 1; size <= bytes.byteLength; size++) {
      const decoder = new FrameDecoder(1000)
      const got: number[][] = []
      for (let at = 0; at < bytes.byteLength; at += size) {
        decoder.push(bytes.subarray(at, at + size))
        got.push(...drain(decoder))
      }
      expect(got).toEqual(sent)
      expect(decoder.pendingBytes).toBe(0)
    }
  })

  it('refuses a frame by its length, before it has come', () => {
    const decoder = new FrameDecoder(10)
    decoder.push(encodeFrame(new Uint8Array(11)).subarray(0, 4))
    expect(() => decoder.next()).toThrow(/11 bytes; at most 10/)
  })
})

/** A stream that is told to pause and to go on, and brings bytes when the test says so. */
class Incoming extends EventTarget {
  status = 'open'
  remoteWriteStatus = 'writable'
  readStatus = 'readable'
  readonly readBufferLength = 0
  pause(): void {
    this.readStatus = 'paused'
  }
  resume(): void {
    this.readStatus = 'readable'
  }
  async bring(data: Uint8Array): Promise<void> {
    this.dispatchEvent(Object.assign(new Event('message'), { data }))
    await Promise.resolve()
  }
}

describe('what waits to be read', () => {
  /** Each chunk is one frame of ten bytes. */
  const tiny = encodeFrame(new Uint8Array(10)).subarray()

  it('is bounded by what it costs, however small the frames are', async () => {
    const stream = new Incoming()
    const frames = new StreamFrames(stream as unknown as Stream, {
      peer: {} as Peer,
      maxSentBytes: 1000,
      received: { maxFrameBytes: 1000, maxWaitingBytes: 256 << 10 },
      clock: new VirtualClock(),
      onHeard() {},
      onViolation() {},
      onClosed() {},
    })
    let waiting = 0
    for (; stream.readStatus === 'readable' && waiting < 10_000; waiting++) await stream.bring(tiny)
    expect(waiting).toBeGreaterThan(500)
    expect(waiting).toBeLessThan(1100)
    // All of it is there, and half of it read lets more in.
    let read = 0
    for await (const _ of frames.frames()) {
      if (++read > waiting / 2 + 1) break
    }
    expect(stream.readStatus).toBe('readable')
  })

  it('is bounded also when many frames come at once, and all of them are read before the end', async () => {
    const stream = new Incoming()
    const reasons: string[] = []
    const frames = new StreamFrames(stream as unknown as Stream, {
      peer: {} as Peer,
      maxSentBytes: 1000,
      received: { maxFrameBytes: 1000, maxWaitingBytes: 256 << 10 },
      clock: new VirtualClock(),
      onHeard() {},
      onViolation: (reason) => reasons.push(reason),
      onClosed() {},
    })
    const count = 5000
    await stream.bring(Buffer.concat(Array.from({ length: count }, () => tiny)))
    expect(stream.readStatus).toBe('paused')
    Object.assign(stream, { remoteWriteStatus: 'closed' }).dispatchEvent(new Event('remoteCloseWrite'))
    let read = 0
    for await (const frame of frames.frames()) {
      expect(frame.byteLength).toBe(10)
      // Goes on once what is here was read, and not before.
      if (read++ < count - 1100) expect(stream.readStatus).toBe('paused')
    }
    expect(read).toBe(count)
    expect(reasons).toEqual([])
  })

  it('is bounded so for gossip too', async () => {
    const stream = new Incoming()
    const chunks = boundedReader(stream as unknown as Stream, new VirtualClock())
    let waiting = 0
    for (; stream.readStatus === 'readable' && waiting < 10_000; waiting++) await stream.bring(tiny)
    expect(waiting).toBeGreaterThan(120)
    expect(waiting).toBeLessThan(280)
    expect((await chunks[Symbol.asyncIterator]().next()).value?.byteLength).toBe(tiny.byteLength)
  })
})
