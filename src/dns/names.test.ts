import { describe, expect, test } from 'vitest'
import { canonicalAddress } from '../model/addresses.ts'
import { labelsOf, parseName } from './names.ts'
import { queryFor } from './testing/queries.ts'

const parse = (name: string) => parseName(labelsOf(queryFor(name), 12), ['atoll', 'consul', 'sub.example'])
const service = (more: object) => ({ kind: 'service', tag: undefined, datacenter: undefined, ...more })

describe('parseName', () => {
  test.each<[string, object]>([
    ['web.service.consul', service({ service: 'web', domain: 'consul', domainAt: 12 })],
    ['WEB.Service.ATOLL', service({ service: 'web', domain: 'atoll' })],
    ['web.service.sub.example', service({ service: 'web', domain: 'sub.example', domainAt: 12 })],
    ['v1.web.service.atoll', service({ service: 'web', tag: 'v1' })],
    ['tag.dot.web.service.atoll', service({ service: 'web', tag: 'tag.dot' })],
    ['web.service.eu-1.atoll', service({ service: 'web', datacenter: 'eu-1' })],
    ['web.service.eu-1.dc.atoll', service({ service: 'web', datacenter: 'eu-1' })],
    ['v1.web.service.nearest.atoll', service({ service: 'web', tag: 'v1', datacenter: 'nearest' })],
    ['_web._tcp.service.atoll', service({ service: 'web' })],
    ['_web._v1.service.eu-1.atoll', service({ service: 'web', tag: 'v1', datacenter: 'eu-1' })],
    ['node.service.atoll', service({ service: 'node' })],
    ['n-1.node.atoll', { kind: 'node', node: 'n-1', datacenter: undefined }],
    ['ip-10.internal.node.eu-1.atoll', { kind: 'node', node: 'ip-10.internal', datacenter: 'eu-1' }],
    ['0a0b0909.addr.eu-1.atoll', { kind: 'addr', address: Uint8Array.from([10, 11, 9, 9]) }],
    ['fd000000000000000000000000000006.addr.atoll', { kind: 'addr' }],
    ['q.query.eu-1.atoll', { kind: 'query', query: 'q', datacenter: 'eu-1' }],
    ['atoll', { kind: 'empty' }],
    ['service.atoll', { kind: 'empty' }],
    ['service.eu-1.atoll', { kind: 'empty' }],
    ['_tcp.service.atoll', { kind: 'empty' }],
    ['0a0b.addr.atoll', { kind: 'absent' }],
    ['0a0bzz09.addr.atoll', { kind: 'absent' }],
    ['x.0a0b0909.addr.atoll', { kind: 'absent' }],
    ['web.atoll', { kind: 'absent' }],
    ['web.connect.atoll', { kind: 'absent' }],
    ['example.com', { kind: 'foreign' }],
    ['notatoll', { kind: 'foreign' }],
    ['', { kind: 'foreign' }],
    ['1.0.11.10.in-addr.arpa', { kind: 'reverse', address: '10.11.0.1' }],
    ['256.0.11.10.in-addr.arpa', { kind: 'foreign' }],
    ['0.11.10.in-addr.arpa', { kind: 'foreign' }],
  ])('%s', (name, expected) => {
    expect(parse(name)).toMatchObject(expected)
  })

  test('a reverse name of IPv6 is spelled as addresses are', () => {
    const nibbles = '6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa'
    expect(parse(nibbles)).toEqual({ kind: 'reverse', address: canonicalAddress('fd00::6') })
  })
})
