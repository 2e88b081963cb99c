import { describe, expect, it } from 'vitest'
import { command } from './agent.ts'
import { configFromFlags, merge } from './agent-config.ts'
import { parseCommand } from './parse.ts'

const config = (line: string, env: Record<string, string> = {}) => {
  const { flags, given } = parseCommand('agent', command, line.split(' ').filter(Boolean), env)
  return configFromFlags({ flags: flags as Parameters<typeof configFromFlags>[0]['flags'], given })
}

describe('the configuration from flags', () => {
  it('holds only what was given', () => {
    expect(config('')).toEqual({})
    expect(config('--dev --http-port 0')).toEqual({ dev: true, http: { port: 0 } })
  })

  it('has every flag in its place', () => {
    const line =
      '--server --dc eu-1 --node n1 --data-dir /d --http-host ::1 --http-port 8510 --bind 0.0.0.0 --port 8310 --advertise a,b --advertise c --join x:1,y:2 --join z:3 --mesh m --flat-network --failover=false --address 10.0.0.1 --wan-address 203.0.113.7 --node-meta rack=r1 --node-meta zone=z=1 --preset wan --log-level debug --log-format json'
    expect(config(line)).toEqual({
      server: true,
      datacenter: 'eu-1',
      node: 'n1',
      address: '10.0.0.1',
      taggedAddresses: { wan: '203.0.113.7' },
      nodeMeta: { rack: 'r1', zone: 'z=1' },
      dataDirectory: '/d',
      preset: 'wan',
      http: { host: '::1', port: 8510 },
      federation: {
        host: '0.0.0.0',
        port: 8310,
        advertise: ['a', 'b', 'c'],
        join: ['x:1', 'y:2', 'z:3'],
        mesh: 'm',
        flatNetwork: true,
        failover: false,
      },
      log: { level: 'debug', format: 'json' },
    })
  })

  it('takes the environment, below flags', () => {
    const env = {
      ATOLL_DC: 'eu-1',
      ATOLL_JOIN: 'x:1,y:2',
      ATOLL_SERVER: 'true',
      ATOLL_DEV: '0',
      ATOLL_HTTP_PORT: '8510',
    }
    expect(config('--dc us-1', env)).toEqual({
      dev: false,
      server: true,
      datacenter: 'us-1',
      http: { port: 8510 },
      federation: { join: ['x:1', 'y:2'] },
    })
  })
})

it('merges field by field, lists as a whole', () => {
  const file = {
    datacenter: 'eu-1',
    http: { host: '::', port: 1 },
    federation: { join: ['a'] },
    log: { level: 'info' },
  }
  expect(merge(file, { http: { port: 2 }, federation: { join: ['b'] }, node: 'n' })).toEqual({
    datacenter: 'eu-1',
    http: { host: '::', port: 2 },
    federation: { join: ['b'] },
    log: { level: 'info' },
    node: 'n',
  })
  const hostile = merge(JSON.parse('{"__proto__":{"a":1}}'), {})
  expect((hostile as { a?: unknown }).a).toBeUndefined()
  expect(({} as { a?: unknown }).a).toBeUndefined()
})
