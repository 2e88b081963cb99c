import { describe, expect, it } from 'vitest'
import { parseStoreUrl } from './address.ts'

describe('the address of a store', () => {
  it.each([
    ['embedded', { driver: 'embedded' }],
    ['etcd://10.0.0.1', { driver: 'etcd', members: ['10.0.0.1:2379'], prefix: 'atoll/eu-1/', tls: false }],
    ['etcd://a:1,b/', { driver: 'etcd', members: ['a:1', 'b:2379'], prefix: 'atoll/eu-1/', tls: false }],
    [
      'etcds://[::1]:4001,b.example.com/prod/eu//',
      { members: ['[::1]:4001', 'b.example.com:2379'], prefix: 'prod/eu/', tls: true },
    ],
  ])('%s', (url, expected) => {
    expect(parseStoreUrl(url, 'eu-1')).toMatchObject(expected)
  })

  it.each([
    ['etcd', 'no address of a store'],
    ['http://a:2379', 'no address of a store'],
    ['etcd://', 'no host:port'],
    ['etcd://a:0', 'no host:port'],
    ['etcd://a:2379,', 'no host:port'],
    ['etcd://user:secret@a:2379', 'store.password'],
    ['etcd://a/sp ace', 'visible ASCII'],
    [`etcd://${'a,'.repeat(40)}a`, 'at most 32'],
  ])('refuses %s, and says why', (url, says) => {
    expect(() => parseStoreUrl(url, 'eu-1')).toThrowError(
      expect.objectContaining({ code: 'invalid', field: 'store.url', message: expect.stringContaining(says) }),
    )
  })
})
