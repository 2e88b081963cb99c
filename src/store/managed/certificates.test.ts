import { X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createAuthority, createLeaf, MEMBER_NAME } from './certificates.ts'

const NOW = Date.UTC(2030, 0, 15)
const time = (first: number) => ({ nowMs: NOW, serial: new Uint8Array(16).fill(first) })

describe('certificates of managed members', () => {
  const authority = { ...createAuthority('etcd of eu-1', time(0xff)), name: 'etcd of eu-1' }
  const ca = new X509Certificate(authority.cert)

  it('come from an authority that signed itself', () => {
    expect(ca.ca).toBe(true)
    expect(ca.subject).toBe('CN=etcd of eu-1')
    expect(ca.verify(ca.publicKey)).toBe(true)
    expect(new Date(ca.validFrom).getTime()).toBeLessThan(NOW)
    // Beyond 2049, where the form of times changes.
    expect(new Date(ca.validTo).getUTCFullYear()).toBe(2060)
  })

  it('name the hosts of their member, and no others', () => {
    const made = createLeaf(authority, ['10.1.2.3', 'fd00::1:2', '::1', 'etcd-1.example.com'], time(0))
    const leaf = new X509Certificate(made.cert)
    expect(leaf.ca).toBe(false)
    expect(leaf.verify(ca.publicKey)).toBe(true)
    expect(leaf.issuer).toBe(ca.subject)
    for (const address of ['10.1.2.3', 'fd00::1:2', '::1']) expect(leaf.checkIP(address)).toBe(address)
    for (const name of ['etcd-1.example.com', MEMBER_NAME]) expect(leaf.checkHost(name)).toBe(name)
    expect(leaf.checkIP('10.1.2.4')).toBeUndefined()
    expect(leaf.checkHost('example.com')).toBeUndefined()
  })

  it('of another authority of the same name do not pass', () => {
    const other = { ...createAuthority('etcd of eu-1', time(2)), name: 'etcd of eu-1' }
    const leaf = new X509Certificate(createLeaf(other, ['127.0.0.1'], time(3)).cert)
    expect(leaf.verify(ca.publicKey)).toBe(false)
  })
})
