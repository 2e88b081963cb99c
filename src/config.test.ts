import { describe, expect, it } from 'vitest'
import { nodeNameOf, parseConfig } from './config.ts'

const invalid = (field: string) => expect.objectContaining({ code: 'invalid', field })

describe('configuration', () => {
  it('fills in defaults', () => {
    const config = parseConfig({ dev: true })
    expect(config).toMatchObject({
      datacenter: 'dc1',
      http: { host: '127.0.0.1', port: 8500 },
      dns: { host: '127.0.0.1', port: 8600, domains: ['atoll', 'consul'], recursors: [], ttlSeconds: { node: 0 } },
      federation: { port: 8300, join: [], failover: true, flatNetwork: false },
    })
  })

  it('--dev keeps nothing, whatever directory is set besides', () => {
    expect(parseConfig({ dev: true, dataDirectory: '/data' }).dataDirectory).toBeUndefined()
    expect(parseConfig({ server: true, dataDirectory: '/data' }).dataDirectory).toBe('/data')
  })

  it('names what is wrong', () => {
    expect(() => parseConfig({})).toThrow(invalid('dataDirectory'))
    expect(() => parseConfig({ dataDirectory: '/data' })).toThrow(invalid('federation.join'))
    expect(() => parseConfig({ dev: true, http: { port: 70_000 } })).toThrow(invalid('http.port'))
    expect(() => parseConfig({ dev: true, datacenter: 'nearest' })).toThrow(invalid('datacenter'))
    expect(() => parseConfig({ dev: true, federation: { typo: 1 } })).toThrow(invalid('federation'))
  })

  it('takes addresses to join in both spellings, and says which one is none', () => {
    const join = (...addresses: string[]) => parseConfig({ dev: true, federation: { join: addresses } }).federation.join
    const good = ['gw.eu-1.example.com:8300', '10.0.0.1:8300', '[::1]:8300', '/ip4/10.0.0.1/tcp/8300/p2p/12D3KooWabc']
    expect(join(...good)).toEqual(good)
    for (const bad of ['10.0.0.1', 'foo bar:8300', 'host:port', '::1:8300', '/ip4/10.0.0.1', '']) {
      expect(() => join('10.0.0.1:8300', bad), bad).toThrow(invalid('federation.join.1'))
    }
  })

  it('takes domains with and without their final dot, and says which one is none', () => {
    const domains = (...names: string[]) => parseConfig({ dev: true, dns: { domains: names } }).dns.domains
    expect(domains('Consul.', 'sd.example.com')).toEqual(['consul', 'sd.example.com'])
    for (const bad of ['', '.', 'a..b', 'a b', 'x'.repeat(64)]) {
      expect(() => domains('consul', bad), bad).toThrow(invalid('dns.domains.1'))
    }
    expect(() => domains()).toThrow(invalid('dns.domains'))
  })

  it('takes the name of the host only where it can be a name', () => {
    expect(nodeNameOf({ node: 'n1' }, 'whatever it is')).toBe('n1')
    expect(nodeNameOf({}, 'host-7.example.com')).toBe('host-7.example.com')
    for (const hostname of ["Ann's laptop", '', 'a/b', 'x'.repeat(200)]) {
      expect(() => nodeNameOf({}, hostname)).toThrow(invalid('node'))
    }
  })
})
