import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { MultiaddrConnection } from '@libp2p/interface'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../runtime/clock.ts'
import { systemRandom } from '../../runtime/random.ts'
import { certifiedNoise, type HandshakeOptions } from './encrypter.ts'
import { freshIdentity } from './identity.ts'
import { portableNoise } from './noise.ts'
import { quiet } from './quiet.ts'

function components(): Parameters<ReturnType<typeof portableNoise>>[0] {
  const { seed, publicKey } = freshIdentity(systemRandom)
  const privateKey = privateKeyFromRaw(Buffer.concat([seed, publicKey]))
  return { privateKey, logger: quiet, upgrader: { getStreamMuxers: () => new Map() } } as never
}

/** Nothing of it is asked for before a hello was read. */
const OPTIONS = { clock: systemClock, random: systemRandom, selfPeerId: 'self' } as HandshakeOptions

/** Both have done Noise; `handshakes`: of the side that is tested. */
async function endsDuringNoise(inbound: boolean): Promise<Promise<unknown>> {
  const [dialler, listener] = multiaddrConnectionPair({ delay: 0 })
  const [own, other]: [MultiaddrConnection, MultiaddrConnection] = inbound ? [listener, dialler] : [dialler, listener]
  const encrypter = certifiedNoise(OPTIONS)(components())
  const noise = portableNoise()(components())
  const signal = AbortSignal.timeout(8000)
  const tested = inbound ? encrypter.secureInbound(own, { signal }) : encrypter.secureOutbound(own, { signal })
  tested.catch(() => {})
  // Its last message is sent, or the other's read, when this resolves.
  await (inbound ? noise.secureOutbound(other, { signal }) : noise.secureInbound(other, { signal }))
  other.abort(new Error('given up'))
  return tested
}

describe('a handshake whose connection ends right behind the last message of Noise', () => {
  it.each([
    ['listener', true],
    ['dialler', false],
  ])('ends at once for the %s, and does not wait for a hello', async (_, inbound) => {
    const beganMs = systemClock.nowMs()
    for (let round = 0; round < 20; round++) await expect(endsDuringNoise(inbound)).rejects.toThrow()
    expect(systemClock.nowMs() - beganMs).toBeLessThan(4000)
  })
})
