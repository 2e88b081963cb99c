import { expect, it } from 'vitest'
import { localDefinitions } from './definitions.ts'

const service = (fields: Record<string, unknown>) => ({ kind: 'service', source: 'a.json', fields }) as const
const check = (fields: Record<string, unknown>) => ({ kind: 'check', source: 'b.json', fields }) as const

it('reads names with underscores, as the files have them, and in any case', () => {
  const { services, checks } = localDefinitions([
    service({
      name: 'web',
      enable_tag_override: true,
      tagged_addresses: { wan_ipv4: { address: '203.0.113.7', port: 443 } },
      meta: { my_key: 'v' },
      weights: { passing: 5, warning: 2 },
      check: { ttl: '30s', deregister_critical_service_after: '2m' },
      checks: [
        {
          http: 'http://localhost/',
          interval: '10s',
          tls_skip_verify: true,
          header: { x_y: ['1'] },
          success_before_passing: 3,
        },
      ],
    }),
    check({ id: 'mem', name: 'memory', ttl: '1m', service_id: 'web' }),
    check({ CheckID: 'old', Name: 'old', TTL: '1m' }),
  ])
  expect(services).toMatchObject([
    {
      id: 'web',
      fromFile: true,
      enableTagOverride: true,
      taggedAddresses: { wan_ipv4: { address: '203.0.113.7', port: 443 } },
      meta: { my_key: 'v' },
      weights: { passing: 5, warning: 2 },
      checks: [
        { ttlMs: 30_000, deregisterCriticalServiceAfterMs: 120_000, fromFile: true },
        { http: { url: 'http://localhost/', tlsSkipVerify: true, headers: { x_y: ['1'] } }, successBeforePassing: 3 },
      ],
    },
  ])
  expect(checks).toMatchObject([
    { checkId: 'mem', serviceId: 'web', ttlMs: 60_000, fromFile: true },
    { checkId: 'old' },
  ])
})

it('lets the last of two with one id count', () => {
  const { services } = localDefinitions([
    service({ name: 'web', port: 1 }),
    service({ id: 'WEB', name: 'web', port: 2 }),
  ])
  expect(services.map(({ port }) => port)).toEqual([2])
})

it.each([
  [
    service({ id: 'w', name: 'web', port: 'eighty' }),
    'a.json: service "w": json: cannot unmarshal string into Go struct field .Port of type int',
  ],
  [service({ name: 'web', colour: 'red' }), 'a.json: service "web": json: unknown field "colour"'],
  [service({ port: 1 }), 'a.json: service "": Missing service name'],
  [check({ name: 'c' }), 'b.json: check "c": Invalid check: TTL must be > 0 for TTL checks'],
])('names file, definition and field of a mistake', (definition, message) => {
  expect(() => localDefinitions([definition])).toThrow(message)
})
