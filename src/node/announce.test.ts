import { describe, expect, it } from 'vitest'
import { hostAndPort } from '../model/addresses.ts'
import { announcedAddresses, catalogAddress, taggedAddressesOf } from './announce.ts'

describe('what is announced', () => {
  it.each([
    ['203.0.113.7', '/ip4/203.0.113.7/tcp/8300'],
    ['203.0.113.7:9000', '/ip4/203.0.113.7/tcp/9000'],
    ['fd00::7', '/ip6/fd00::7/tcp/8300'],
    ['[fd00::7]', '/ip6/fd00::7/tcp/8300'],
    ['[fd00::7]:9000', '/ip6/fd00::7/tcp/9000'],
    ['gw.example.com', '/dns/gw.example.com/tcp/8300'],
    ['gw.example.com:9000', '/dns/gw.example.com/tcp/9000'],
    ['/ip4/203.0.113.7/tcp/1/p2p/12D3', '/ip4/203.0.113.7/tcp/1'],
    ['/dns4/gw.example.com/tcp/8300', '/dns4/gw.example.com/tcp/8300'],
  ])('%s is %s', (given, expected) => {
    expect(announcedAddresses([given], 8300)).toEqual([expected])
  })

  it.each(['a b', 'gw:port', 'gw:0', 'gw:70000', '[gw]:1', 'a/b', '/ip4/1.2.3.4', '/unix/tmp/x', ':8300', '[::1'])(
    '%s is refused, with its field',
    (given) => {
      expect(() => announcedAddresses([given], 8300)).toThrow(
        expect.objectContaining({ code: 'invalid', field: 'federation.advertise' }),
      )
    },
  )

  it('a port that nobody knows yet is refused', () => {
    expect(() => announcedAddresses(['gw'], 0)).toThrow(expect.objectContaining({ code: 'invalid' }))
    expect(announcedAddresses(['gw:1'], 0)).toEqual(['/dns/gw/tcp/1'])
  })
})

describe('what the catalog shows', () => {
  const none = { configured: undefined, advertise: [], listening: '10.0.0.1', addresses: [] }

  it('is what was configured, else advertised, else listened on', () => {
    expect(catalogAddress({ ...none, configured: 'x', advertise: ['y'] })).toBe('x')
    expect(catalogAddress({ ...none, advertise: ['[fd00::7]:1'] })).toBe('fd00::7')
    expect(catalogAddress({ ...none, advertise: ['/dns/gw/tcp/1'] })).toBe('gw')
    expect(catalogAddress(none)).toBe('10.0.0.1')
    expect(catalogAddress({ ...none, listening: 'localhost' })).toBe('127.0.0.1')
  })

  it('is an address of the host that others reach where all are listened on', () => {
    const addresses = ['/ip4/127.0.0.1/tcp/1/p2p/x', '/ip6/fe80::1/tcp/1', '/ip6/fd00::7/tcp/1', '/ip4/10.0.0.7/tcp/1']
    expect(catalogAddress({ ...none, listening: '0.0.0.0', addresses })).toBe('10.0.0.7')
    expect(catalogAddress({ ...none, listening: '::', addresses: addresses.slice(0, 3) })).toBe('fd00::7')
    expect(catalogAddress({ ...none, listening: '0.0.0.0', addresses: addresses.slice(0, 1) })).toBe('127.0.0.1')
  })

  it('tags addresses by the kind that they are of', () => {
    expect(taggedAddressesOf('10.0.0.7', {})).toEqual({
      lan: '10.0.0.7',
      lan_ipv4: '10.0.0.7',
      wan: '10.0.0.7',
      wan_ipv4: '10.0.0.7',
    })
    expect(taggedAddressesOf('fd00::7', { wan: 'gw.example.com', vpn: 'z' })).toEqual({
      lan: 'fd00::7',
      lan_ipv6: 'fd00::7',
      wan: 'gw.example.com',
      vpn: 'z',
    })
    expect(hostAndPort('fd00::7', 1)).toBe('[fd00::7]:1')
    expect(hostAndPort('10.0.0.7', 1)).toBe('10.0.0.7:1')
  })
})
