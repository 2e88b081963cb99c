import { describe, expect, it } from 'vitest'
import { dialAddress, listenAddress, withoutPeer, withPeer } from './addresses.ts'

const PEER = '12D3KooWPAyUUo6iETiWEahAo24kLP1GzJGrnBQcY8VvXK9H2RjZ'

describe('addresses', () => {
  it.each([
    ['10.0.0.1:8300', '/ip4/10.0.0.1/tcp/8300'],
    ['[::1]:8300', '/ip6/::1/tcp/8300'],
    ['eu.example.org:8300', '/dns/eu.example.org/tcp/8300'],
    [`/ip4/10.0.0.1/tcp/8300/p2p/${PEER}`, `/ip4/10.0.0.1/tcp/8300/p2p/${PEER}`],
  ])('dials %s', (text, address) => expect(dialAddress(text)).toBe(address))

  it.each(['', 'host', 'host:0', 'host:70000', '::1:8300', '/ip4/10.0.0/tcp/1', '/nonsense/1'])(
    'refuses to dial "%s", and says what to write',
    (text) => expect(() => dialAddress(text)).toThrow(/host:port/),
  )

  it('listens on addresses, not on names', () => {
    expect(listenAddress('0.0.0.0', 1)).toBe('/ip4/0.0.0.0/tcp/1')
    expect(listenAddress('localhost', 1)).toBe('/ip4/127.0.0.1/tcp/1')
    expect(listenAddress('::1', 1)).toBe('/ip6/::1/tcp/1')
    expect(() => listenAddress('eu.example.org', 1)).toThrow(/federation.host/)
  })

  it('adds and takes the peer', () => {
    expect(withPeer('/ip4/1.2.3.4/tcp/1', PEER)).toBe(`/ip4/1.2.3.4/tcp/1/p2p/${PEER}`)
    expect(withPeer(`/ip4/1.2.3.4/tcp/1/p2p/${PEER}`, 'x')).toBe(`/ip4/1.2.3.4/tcp/1/p2p/${PEER}`)
    expect(withoutPeer(`/ip4/1.2.3.4/tcp/1/p2p/${PEER}`)).toBe('/ip4/1.2.3.4/tcp/1')
  })
})
