import { describe, expect, it } from 'vitest'
import type { PeerIdentity } from '../host.ts'
import { beacon, head } from '../testing/heads.ts'
import { encode, ProtocolError } from './codec.ts'
import { EMPTY_DIGEST } from './digest.ts'
import { isNewer, Opener, seal } from './head.ts'
import { encodeMessage } from './messages.ts'

const identity: PeerIdentity = {
  peerId: 'p1',
  datacenter: 'eu-1',
  datacenterId: 'id-eu-1',
  node: 'n1',
  nodeId: 'n1',
  role: 'server',
}
const signer = {
  certificate: new Uint8Array([7]),
  sign: (bytes: Uint8Array) => new Uint8Array([bytes.length & 255, 9]),
}
const verifier = (who: PeerIdentity | undefined) => {
  const counted = {
    verifications: 0,
    verify(_certificate: Uint8Array, bytes: Uint8Array, signature: Uint8Array) {
      counted.verifications++
      return signature[0] === (bytes.length & 255) ? who : undefined
    },
  }
  return counted
}
const message = beacon(head(1, EMPTY_DIGEST))

describe('signed envelopes', () => {
  it('open to the message and its signer', () => {
    const opened = new Opener(verifier(identity)).open(seal(signer, message))
    expect(opened.identity).toBe(identity)
    expect(opened.message).toMatchObject({ type: 'beacon', head: { revision: 1 } })
  })

  it('are verified once, however often the same bytes come', () => {
    const counted = verifier(identity)
    const opener = new Opener(counted)
    const sealed = seal(signer, message)
    const first = opener.open(sealed)
    expect(opener.open(Uint8Array.from(sealed))).toBe(first)
    expect(counted.verifications).toBe(1)
    for (let i = 0; i < 600; i++) opener.open(seal(signer, { ...message, addresses: [`/${i}`] }))
    opener.open(sealed)
    expect(counted.verifications).toBe(602)
  })

  it.each([
    ['signed by nobody known', undefined],
    ['signed by a client', { ...identity, role: 'client' as const }],
    ['about another datacenter', { ...identity, datacenter: 'us-1' }],
    ['about a namesake', { ...identity, datacenterId: 'id-other' }],
  ])('are refused: %s', (_what, who) => {
    const opener = new Opener(verifier(who))
    const sealed = seal(signer, message)
    expect(() => opener.open(sealed)).toThrow(ProtocolError)
    // A refusal is not kept as a success.
    expect(() => opener.open(sealed)).toThrow(ProtocolError)
  })

  it('are refused when the signature is wrong', () => {
    const sealed = encode([1, signer.certificate, encodeMessage(message), new Uint8Array([0])])
    expect(() => new Opener(verifier(identity)).open(sealed)).toThrow('signature')
  })
})

describe('stamps', () => {
  it.each([
    [{ boot: 1, sequence: 2 }, undefined, true],
    [{ boot: 1, sequence: 2 }, { boot: 1, sequence: 1 }, true],
    [{ boot: 1, sequence: 2 }, { boot: 1, sequence: 2 }, false],
    [{ boot: 2, sequence: 0 }, { boot: 1, sequence: 9 }, true],
    [{ boot: 1, sequence: 9 }, { boot: 2, sequence: 0 }, false],
  ])('%j is newer than %j: %s', (a, b, expected) => {
    expect(isNewer(a, b)).toBe(expected)
  })
})
