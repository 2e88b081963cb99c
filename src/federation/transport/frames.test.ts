import { describe, expect, it } from 'vitest'
import { encodeFrame, FrameDecoder } from './frames.ts'

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
