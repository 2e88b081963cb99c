import { describe, expect, it } from 'vitest'
import { parseConfig } from '../config.ts'
import type { Interface } from './addresses.ts'
import { FIELDS } from './fields.ts'
import { translate } from './translate.ts'

const INTERFACES: Interface[] = [
  { name: 'lo', address: '127.0.0.1', family: 'IPv4', internal: true },
  { name: 'eth0', address: 'fe80::1', family: 'IPv6', internal: false },
  { name: 'eth0', address: '203.0.113.9', family: 'IPv4', internal: false },
  { name: 'eth1', address: '10.1.2.3', family: 'IPv4', internal: false },
]
const of = (...values: unknown[]) =>
  translate(
    values.map((value, i) => ({ name: `${i + 1}.json`, value })),
    () => INTERFACES,
  )

describe("Consul's configuration as Atoll's", () => {
  it('is what the schema takes, field by field', () => {
    const { input, warnings } = of({
      datacenter: 'EU-1',
      node_name: 'n1',
      node_id: '6F9C2B9E-5A54-4D7C-8C63-0123456789AB',
      node_meta: { rack: 'r1' },
      server: true,
      bootstrap: true,
      data_dir: '/var/lib/x',
      pid_file: '/run/x.pid',
      leave_on_terminate: true,
      skip_leave_on_interrupt: true,
      bind_addr: '0.0.0.0',
      advertise_addr: '{{ GetPrivateIP }}',
      advertise_addr_wan: '{{ GetInterfaceIP "eth0" }}',
      client_addr: '0.0.0.0',
      addresses: { dns: '127.0.0.2' },
      ports: { http: '18500', dns: 18600, serf_lan: 18301, server: 18300, https: -1, grpc: -1 },
      retry_join: ['10.0.0.7', '10.0.0.8:9999'],
      domain: 'example.',
      alt_domain: 'consul.',
      recursors: ['1.1.1.1'],
      dns_config: {
        node_ttl: '5s',
        service_ttl: { '*': '10s', web: '1m' },
        only_passing: true,
        a_record_limit: 3,
        soa: { min_ttl: 7 },
      },
      enable_local_script_checks: true,
      check_update_interval: '0s',
      check_output_max_size: 100,
      log_level: 'ERR',
      log_json: true,
    })
    expect(warnings).toEqual([])
    expect(parseConfig(input)).toMatchObject({
      datacenter: 'eu-1',
      node: 'n1',
      nodeId: '6f9c2b9e-5a54-4d7c-8c63-0123456789ab',
      nodeMeta: { rack: 'r1' },
      server: true,
      dataDirectory: '/var/lib/x',
      pidFile: '/run/x.pid',
      leave: { onTerminate: true, onInterrupt: false },
      taggedAddresses: { wan: '203.0.113.9' },
      http: { host: '0.0.0.0', port: 18500 },
      dns: {
        host: '127.0.0.2',
        port: 18600,
        enabled: true,
        domains: ['example', 'consul'],
        recursors: ['1.1.1.1'],
        onlyPassing: true,
        addressLimit: 3,
        ttlSeconds: { node: 5, service: { '*': 10, web: 60 } },
        soa: { minimumSeconds: 7, refreshSeconds: 3600 },
      },
      federation: {
        host: '0.0.0.0',
        port: 18301,
        advertise: ['10.1.2.3'],
        join: ['10.0.0.7:18301', '10.0.0.8:9999'],
      },
      checks: { scripts: 'local', updateIntervalMs: 0, outputMaxBytes: 100 },
      log: { level: 'error', format: 'json' },
    })
  })

  it("takes the file that hashicorp's test server writes, and names what has no effect", () => {
    const { input, warnings } = of({
      node_name: 'node-1',
      node_id: '6f9c2b9e-5a54-4d7c-8c63-0123456789ab',
      performance: { raft_multiplier: 1 },
      bootstrap: true,
      server: true,
      data_dir: '/tmp/x',
      segments: null,
      disable_update_check: true,
      log_level: 'debug',
      bind_addr: '127.0.0.1',
      addresses: {},
      ports: { dns: 1, http: 2, https: 3, serf_lan: 4, serf_wan: 5, server: 6, grpc: 7, grpc_tls: 8 },
      acl: { tokens: {} },
      connect: { ca_config: { cluster_id: '11111111-2222-3333-4444-555555555555' }, enabled: true },
      skip_leave_on_interrupt: true,
      peering: { enabled: true },
      version: '1.18.0',
    })
    expect(parseConfig(input)).toMatchObject({
      server: true,
      http: { port: 2 },
      dns: { port: 1 },
      federation: { port: 4 },
    })
    expect(warnings.map((line) => line.split(': ')[1])).toEqual([
      'performance',
      'ports.https',
      'ports.grpc',
      'ports.grpc_tls',
      'connect',
      'peering',
    ])
  })

  it('takes addresses by network, and warns of what would let in more than the file says', () => {
    const { input, warnings } = of({
      tagged_addresses: { mgmt: '192.0.2.7' },
      advertise_addr_wan: '203.0.113.9',
      serf_lan_allowed_cidrs: ['10.0.0.0/8'],
      http_config: { allow_write_http_from: ['127.0.0.0/8'], block_endpoints: ['/v1/agent/metrics'], use_cache: true },
      translate_wan_addrs: true,
    })
    expect(input).toEqual({ taggedAddresses: { mgmt: '192.0.2.7', wan: '203.0.113.9' } })
    expect(warnings.map((line) => line.split(': ')[1])).toEqual([
      'serf_lan_allowed_cidrs',
      'http_config.allow_write_http_from',
      'http_config.block_endpoints',
      'translate_wan_addrs',
    ])
  })

  it('lets later files win; lists add up, maps are joined', () => {
    const { input, definitions } = of(
      { server: true, node_meta: { a: '1', b: '1' }, start_join: ['a'], service: { name: 'web' }, log_level: 'info' },
      {
        server: false,
        node_meta: { b: '2' },
        retry_join: ['a', 'b:1'],
        services: [{ name: 'db' }],
        check: { name: 'c' },
      },
    )
    expect(input).toEqual({
      server: false,
      nodeMeta: { a: '1', b: '2' },
      federation: { join: ['a:8300', 'b:1'] },
      log: { level: 'info' },
    })
    expect(definitions.map(({ kind, source, fields }) => [kind, source, fields.name])).toEqual([
      ['service', '1.json', 'web'],
      ['service', '2.json', 'db'],
      ['check', '2.json', 'c'],
    ])
  })

  it('joins where Atoll listens when a unit names the port of Serf', () => {
    const { input, warnings } = of({
      retry_join: ['10.0.0.7:8301', '[fd00::1]:8302', 'fd00::2', 'provider=aws tag_key=x'],
    })
    expect(input).toEqual({ federation: { join: ['10.0.0.7:8300', '[fd00::1]:8300', '[fd00::2]:8300'] } })
    expect(warnings).toEqual([expect.stringContaining('1.json: retry_join: "provider=aws tag_key=x" has no effect')])
    expect(of({ ports: { serf_lan: 8301 }, retry_join: ['10.0.0.7:8301'] }).input).toEqual({
      federation: { port: 8301, join: ['10.0.0.7:8301'] },
    })
  })

  it.each([
    [{ ports: { http: 'eighty' } }, '1.json: ports.http: expected a whole number, not "eighty"'],
    [{ ports: { http: -1 } }, '1.json: ports.http: the HTTP API cannot be switched off; give a port'],
    [{ ports: 8500 }, '1.json: ports: expected an object, not 8500'],
    [{ server: 'yes' }, '1.json: server: expected true or false, not "yes"'],
    [{ servr: true }, "1.json: servr: Consul's configuration has no such field; correct or remove it"],
    [
      { dns_config: { soa: { mini: 1 } } },
      "1.json: dns_config.soa.mini: Consul's configuration has no such field; correct or remove it",
    ],
    [{ retry_join: [1] }, '1.json: retry_join[0]: expected a text in quotes, not 1'],
    [{ log_level: 'loud' }, '1.json: log_level: use one of trace, debug, info, warn and err'],
    [
      { check_update_interval: 'soon' },
      '1.json: check_update_interval: "soon" is no duration; write it like "10s" or "1m30s"',
    ],
    [{ service: 'web' }, '1.json: service: expected an object, not "web"'],
    [[], '1.json: expected an object, like {"server": true}'],
    [
      { bind_addr: '{{ GetAllInterfaces }}' },
      'bind_addr: "{{ GetAllInterfaces }}": only GetPrivateIP, GetPublicIP and GetInterfaceIP "name" are known; write the address',
    ],
  ])('names what is wrong with %j', (value, message) => {
    expect(() => of(value)).toThrow(message)
  })

  it('takes null and what is off for every field without a word', () => {
    for (const name of Object.keys(FIELDS)) expect(of({ [name]: null })).toMatchObject({ warnings: [], input: {} })
    expect(
      of({ acl: { enabled: false }, tls: {}, verify_incoming: false, encrypt: '', ui_config: { enabled: false } }),
    ).toMatchObject({ warnings: [] })
  })
})
