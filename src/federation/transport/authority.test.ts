import { createHash } from 'node:crypto'
import { pack, unpack } from 'msgpackr'
import { describe, expect, it } from 'vitest'
import { type CertificateRequest, devAuthority, devDatacenterId } from './authority.ts'
import { identityOf } from './identity.ts'

const NOW = Date.UTC(2026, 0, 1)
const identity = identityOf(createHash('sha256').update('a key').digest())
const request: CertificateRequest = {
  datacenter: 'eu-1',
  role: 'server',
  node: 'n1',
  nodeId: 'id-1',
  publicKey: identity.publicKey,
  nowMs: NOW,
}
const DAY = 86_400_000

describe('dev authority', () => {
  it('issues what every node of the same mesh accepts', async () => {
    const certificate = await devAuthority('m1').issue(request)
    const verdict = devAuthority('m1').verify(certificate, NOW)
    expect(verdict).toEqual({
      ok: true,
      certificate: {
        mesh: 'm1',
        datacenter: 'eu-1',
        datacenterId: devDatacenterId('m1', 'eu-1'),
        role: 'server',
        node: 'n1',
        nodeId: 'id-1',
        publicKey: identity.publicKey,
        notBefore: NOW - DAY,
        notAfter: NOW + 7 * DAY,
      },
    })
  })

  it('refuses another mesh, and one before or after its time', async () => {
    const certificate = await devAuthority('m1').issue(request)
    expect(devAuthority('m2').verify(certificate, NOW)).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/root of this mesh/),
    })
    expect(devAuthority('m1').verify(certificate, NOW + 8 * DAY)).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/expired at 2026/),
    })
    expect(devAuthority('m1').verify(certificate, NOW - 2 * DAY)).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/before 2025/),
    })
  })

  it('refuses what was changed after it was signed, down to the last bit', async () => {
    const authority = devAuthority('m1')
    const certificate = await authority.issue(request)
    for (let at = 0; at < certificate.byteLength; at++) {
      const changed = Uint8Array.from(certificate)
      changed[at]! ^= 1
      expect(authority.verify(changed, NOW).ok, `byte ${at}`).toBe(false)
    }
  })

  it('never throws, whatever it is given', () => {
    const authority = devAuthority('m1')
    const [body] = [pack([1, 'm1'])]
    for (const bytes of [new Uint8Array(0), Uint8Array.of(0xc1), pack('text'), pack([body]), new Uint8Array(5000)]) {
      expect(authority.verify(bytes, NOW).ok).toBe(false)
    }
    expect(unpack(body)).toEqual([1, 'm1'])
  })
})
