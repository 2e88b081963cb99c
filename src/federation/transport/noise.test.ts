import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { MessageStream } from '@libp2p/interface'
import { LengthPrefixedDecoder, multiaddrConnectionPair } from '@libp2p/utils'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { systemRandom } from '../../runtime/random.ts'
import { freshIdentity } from './identity.ts'
import { type Decoding, lengthOfFrame, portableNoise, readThriftily } from './noise.ts'
import { quiet } from './quiet.ts'

function components(): Parameters<ReturnType<typeof portableNoise>>[0] {
  const { seed, publicKey } = freshIdentity(systemRandom)
  const privateKey = privateKeyFromRaw(Buffer.concat([seed, publicKey]))
  return { privateKey, logger: quiet, upgrader: { getStreamMuxers: () => new Map() } } as never
}

describe('lengths of frames', () => {
  it('are read as they were written, however what comes is cut', async () => {
    const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 })
    await fc.assert(
      fc.property(frames, fc.array(fc.nat(400), { maxLength: 20 }), (sent, cuts) => {
        const bytes = Buffer.concat(sent.flatMap((frame) => [Buffer.of(frame.length >> 8, frame.length), frame]))
        const decoder = new LengthPrefixedDecoder({ lengthDecoder: lengthOfFrame as never, encodingLength: () => 2 })
        const got: Uint8Array[] = []
        let at = 0
        for (const size of [...cuts, bytes.length]) {
          for (const frame of decoder.decode(bytes.subarray(at, at + size))) got.push(frame.subarray())
          at += size
        }
        expect(got.map((frame) => [...frame])).toEqual(sent.map((frame) => [...frame]))
      }),
    )
  })

  it('are read so on a stream of Noise, without an error at the end of what came', async () => {
    const [dialler, listener] = multiaddrConnectionPair({ delay: 0 })
    const signal = AbortSignal.timeout(8000)
    const [out, into] = await Promise.all([
      portableNoise()(components()).secureOutbound(dialler, { signal }),
      portableNoise()(components()).secureInbound(listener, { signal }),
    ])
    readThriftily(into.connection)
    const { decoder } = into.connection as MessageStream & { readonly decoder: Decoding }
    expect(decoder.lengthDecoder).toBe(lengthOfFrame)
    const got = new Promise<string>((resolve) =>
      into.connection.addEventListener('message', ({ data }) => resolve(Buffer.from(data.subarray()).toString())),
    )
    out.connection.send(Buffer.from('hello'))
    expect(await got).toBe('hello')
    dialler.abort(new Error('done'))
    listener.abort(new Error('done'))
  })
})
