import { describe, expect, it } from 'vitest'
import { nodeNameOf, parseConfig } from './config.ts'

const invalid = (field: string) => expect.objectContaining({ code: 'invalid', field })

describe('configuration', () => {
  it('fills in defaults', () => {
    const config = parseConfig({ dev: true })
    expect(config).toMatchObject({
      datacenter: 'dc1',
      http: { host: '127.0.0.1', port: 8500 },
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

  it('takes the name of the host only where it can be a name', () => {
    expect(nodeNameOf({ node: 'n1' }, 'whatever it is')).toBe('n1')
    expect(nodeNameOf({}, 'host-7.example.com')).toBe('host-7.example.com')
    for (const hostname of ["Ann's laptop", '', 'a/b', 'x'.repeat(200)]) {
      expect(() => nodeNameOf({}, hostname)).toThrow(invalid('node'))
    }
  })
})
