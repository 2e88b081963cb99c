/** Each command against a node that gives answers in the API's shapes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  answeredBy,
  datacenterCoordinates,
  entry,
  explanation,
  kvRow,
  members,
  mesh,
  nodeCoordinates,
  self,
} from './answers.ts'
import { type FakeNode, startFakeNode } from './fake-node.ts'
import { runCli, type World } from './harness.ts'

let node: FakeNode
beforeEach(async () => {
  node = await startFakeNode()
})
afterEach(() => node.close())

const atoll = (argv: readonly string[], world: World = {}) => runCli(['--http-addr', node.address, ...argv], world)
const table = (...lines: string[]) => `${lines.join('\n')}\n`

describe('members', () => {
  it('lists nodes', async () => {
    node.on('GET /v1/agent/members', { body: members })
    const { code, out } = await atoll(['members'])
    expect(code).toBe(0)
    expect(out).toBe(
      table(
        'NODE         ADDRESS         STATUS  ROLE    DC    RUNTIME  VERSION',
        'eu-1-client  127.0.0.1:8300  failed  client  eu-1  deno     0.1.0',
        'eu-1-server  127.0.0.1:8300  alive   server  eu-1  node     0.1.0',
      ),
    )
    await atoll(['members', '--wan'])
    expect(node.asked.map(({ query }) => query.get('wan'))).toEqual([null, '1'])
    expect(JSON.parse((await atoll(['members', '--json'])).out)).toEqual(members)
  })

  it('colours a terminal, and only that', async () => {
    node.on('GET /v1/agent/members', { body: members })
    const { out } = await atoll(['members'], { columns: 100 })
    expect(out).toContain('\x1b[31mfailed\x1b[0m')
    expect((await atoll(['members'], { columns: 100, env: { NO_COLOR: '1' } })).out).not.toContain('\x1b')
  })
})

describe('services', () => {
  it('lists what a datacenter has', async () => {
    node.on('GET /v1/catalog/services', {
      headers: answeredBy('us-1', 'replica', 41),
      body: { web: ['v1', 'primary'], db: [] },
    })
    const { out } = await atoll(['services', '--dc', 'us-1', '--stale'])
    expect(out).toBe(
      table('SERVICE  TAGS', 'web      v1, primary', 'db', 'answered here from the replica of us-1, 41 ms old'),
    )
    expect([...node.asked[0]!.query]).toEqual([
      ['dc', 'us-1'],
      ['stale', ''],
    ])
    expect(JSON.parse((await atoll(['services', '--json'])).out)).toEqual({ web: ['v1', 'primary'], db: [] })
  })

  it('lists what the node itself has', async () => {
    const service = { ID: 'web-1', Service: 'web', Tags: ['v1'], Meta: {}, Port: 8080, Address: '' }
    node.on('GET /v1/agent/services', {
      body: { 'web-1': service, db: { ...service, ID: 'db', Service: 'db', Tags: [], Address: 'fd00::1' } },
    })
    const { out } = await atoll(['services', '--local'])
    expect(out).toBe(
      table(
        'ID     SERVICE  ADDRESS         TAGS',
        'web-1  web      :8080           v1',
        'db     db       [fd00::1]:8080',
      ),
    )
  })
})

describe('register', () => {
  const sent = () => JSON.parse(node.asked.at(-1)!.text)
  beforeEach(() => node.on('PUT /v1/agent/service/register', {}))

  it('sends a definition made of flags', async () => {
    const flags =
      'web --id web-2 --port 8080 --address 10.0.0.5 --wan-address 203.0.113.7:443 --tag v2 --tag a,b --meta team=shop --meta k=a=b --failover false --http-check http://localhost:8080/health --tcp-check localhost:8080 --ttl 30s --interval 5s --check-timeout 1s --deregister-after 1m'
    const { code, out } = await atoll(['register', ...flags.split(' ')])
    expect(code).toBe(0)
    expect(out).toBe(
      table(
        'registered web with id web-2',
        `critical until reported on: curl -X PUT ${node.address}/v1/agent/check/pass/service%3Aweb-2%3Attl`,
      ),
    )
    expect(node.asked[0]!.query.get('replace-existing-checks')).toBe('')
    const common = { Interval: '5s', Timeout: '1s', DeregisterCriticalServiceAfter: '1m' }
    expect(sent()).toEqual({
      Name: 'web',
      ID: 'web-2',
      Port: 8080,
      Address: '10.0.0.5',
      Tags: ['v2', 'a,b'],
      Meta: { team: 'shop', k: 'a=b' },
      TaggedAddresses: { wan: { Address: '203.0.113.7', Port: 443 } },
      Failover: false,
      Checks: [
        { Name: 'HTTP http://localhost:8080/health', HTTP: 'http://localhost:8080/health', ...common },
        { Name: 'TCP localhost:8080', TCP: 'localhost:8080', ...common },
        { CheckID: 'service:web-2:ttl', Name: 'TTL 30s', TTL: '30s', DeregisterCriticalServiceAfter: '1m' },
      ],
    })
  })

  it('says no more than was said', async () => {
    const { out } = await atoll(['register', 'web', '--json'])
    expect(JSON.parse(out)).toEqual({ Registered: [{ ID: 'web', Service: 'web' }] })
    expect(sent()).toEqual({ Name: 'web' })
  })

  it('refuses what cannot be meant', async () => {
    const refused = async (...argv: string[]) => {
      const { code, err } = await atoll(['register', 'web', ...argv])
      expect(code).toBe(2)
      return err
    }
    expect(await refused('--address', 'host:8500')).toContain('name the node to ask with --http-addr')
    expect(await refused('--http-check', 'localhost:8080')).toContain('http://localhost:8080/health')
    expect(await refused('--tcp-check', 'localhost')).toContain('has no port')
    expect(await refused('--wan-address', 'a:b')).toContain('203.0.113.7:443')
    expect(await refused('--file', 'x.json')).toContain('not both')
    expect(node.asked).toEqual([])
  })

  it('takes definitions from a file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atoll-cli-'))
    try {
      const file = join(folder, 'service.json')
      const consul = {
        name: 'web',
        port: 80,
        enable_tag_override: true,
        meta: { a_b: 'c' },
        checks: [{ http: 'http://localhost', interval: '10s', success_before_passing: 2 }],
      }
      await writeFile(file, JSON.stringify({ services: [consul, { name: 'db', id: 'db-1' }] }))
      const { out } = await atoll(['register', '--file', file])
      expect(out).toBe(table('registered web with id web', 'registered db with id db-1'))
      expect(JSON.parse(node.asked[0]!.text)).toEqual({
        name: 'web',
        port: 80,
        enabletagoverride: true,
        meta: { a_b: 'c' },
        checks: [{ http: 'http://localhost', interval: '10s', successbeforepassing: 2 }],
      })
      expect((await atoll(['register', '--file', join(folder, 'none.json')])).err).toContain('cannot be read (ENOENT)')
      expect((await atoll(['register', '--file', folder])).code).toBe(1)
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('takes a definition from standard input', async () => {
    const { code } = await atoll(['register', '--file', '-'], { stdin: '{"Name":"web","Port":80}' })
    expect(code).toBe(0)
    expect(sent()).toEqual({ Name: 'web', Port: 80 })
    expect(await atoll(['register', '--file', '-'], { stdin: '{' })).toMatchObject({ code: 2 })
    expect((await atoll(['register', '--file', '-'], { stdin: '[]' })).err).toContain('{"Name": "web"')
    expect((await atoll(['register', '--file', '-'], { stdin: '{"Port":1}' })).err).toContain('has no Name')
  })

  it('passes on what the node refuses', async () => {
    node.on('PUT /v1/agent/service/register', { status: 400, body: 'Invalid service address' })
    expect(await atoll(['register', 'web', '--address', '0.0.0.0'])).toMatchObject({
      code: 1,
      err: 'error: Invalid service address\n',
    })
  })
})

describe('deregister', () => {
  it('takes ids, all of them known', async () => {
    const service = (ID: string) => ({ ID, Service: 'web', Tags: [], Meta: {}, Port: 1, Address: '' })
    node.on('GET /v1/agent/services', { body: { 'web-1': service('web-1'), 'web/2': service('web/2') } })
    node.on('PUT /v1/agent/service/deregister/web-1', {})
    node.on('PUT /v1/agent/service/deregister/web%2F2', {})
    expect(await atoll(['deregister', 'web-1', 'web/2'])).toMatchObject({
      code: 0,
      out: table('deregistered web-1', 'deregistered web/2'),
    })
    node.asked.length = 0
    expect(await atoll(['deregister', 'web-1', 'web'])).toMatchObject({
      code: 1,
      err: 'error: no service with id "web" is registered with this node; nothing was changed\ndid you mean web-1, web/2?\n',
    })
    expect((await atoll(['deregister', 'wbe-1'])).err).toContain('did you mean web-1?')
    expect((await atoll(['deregister', 'other'])).err).toContain('atoll services --local')
    expect(node.asked.every(({ method }) => method === 'GET')).toBe(true)
    expect(JSON.parse((await atoll(['deregister', 'web-1', '--json'])).out)).toEqual({
      Deregistered: [{ ID: 'web-1', Service: 'web' }],
    })
  })
})

describe('query', () => {
  const local = [
    entry({ id: 'web-1', dc: 'eu-1', address: '10.0.0.5', checks: [['alive', 'passing']], tags: ['v1', 'blue'] }),
    entry({ id: 'web-2', dc: 'eu-1', checks: [['alive', 'critical']] }),
  ]

  it('shows instances, and whose answer it is', async () => {
    node.on('GET /v1/health/service/web', { headers: answeredBy('eu-1', 'catalog', 0), body: local })
    const { code, out } = await atoll(['query', 'web'])
    expect(code).toBe(0)
    expect(out).toBe(
      table(
        'ADDRESS         STATUS            NODE     ID     DC    DISTANCE   AGE  TAGS',
        '10.0.0.5:8080   passing           eu-1-n1  web-1  eu-1         -  0 ms  v1, blue',
        '10.10.0.1:8080  critical (alive)  eu-1-n1  web-2  eu-1         -  0 ms',
        'answered from the catalog of eu-1, up to date',
      ),
    )
  })

  it('asks what the flags say', async () => {
    node.on('GET /v1/health/service/web', { headers: answeredBy('us-1', 'rpc', 0), body: local })
    const flags =
      '--dc us-1 --passing --tag v1 --tag blue --near _agent --node-meta rack=r1 --filter Node.Meta.x==1 --consistent'
    const { out } = await atoll(['query', 'web', ...flags.split(' ')])
    expect([...node.asked[0]!.query]).toEqual([
      ['dc', 'us-1'],
      ['consistent', ''],
      ['near', '_agent'],
      ['node-meta', 'rack:r1'],
      ['filter', 'Node.Meta.x==1'],
      ['passing', ''],
      ['tag', 'v1'],
      ['tag', 'blue'],
    ])
    expect(out).toContain('answered by us-1 itself, up to date')
  })

  it('says that it failed over, how far and how old', async () => {
    node.on('GET /v1/health/service/web', {
      headers: { ...answeredBy('us-1', 'replica', 312), 'X-Atoll-Failover': 'eu-1 -> us-1' },
      body: [entry({ id: 'web-1', dc: 'us-1', address: '203.0.113.7', origin: { DistanceMs: 80.41, AgeMs: 312 } })],
    })
    const { out } = await atoll(['query', 'web', '--passing'])
    expect(out).toBe(
      table(
        'ADDRESS           STATUS   NODE     ID     DC    DISTANCE     AGE  TAGS',
        '203.0.113.7:8080  passing  us-1-n1  web-1  us-1     80 ms  312 ms',
        'failed over from eu-1 to us-1: nothing passes in eu-1, 312 ms old',
      ),
    )
    const { Instances, ...rest } = JSON.parse((await atoll(['query', 'web', '--json'])).out)
    expect(rest).toEqual({
      Service: 'web',
      Datacenter: 'us-1',
      Source: 'replica',
      AgeMs: 312,
      Failover: { From: 'eu-1', To: 'us-1' },
      Index: 17,
    })
    expect(Instances).toEqual([
      {
        Address: '203.0.113.7',
        Port: 8080,
        Status: 'passing',
        Failing: [],
        Node: 'us-1-n1',
        ID: 'web-1',
        Datacenter: 'us-1',
        DistanceMs: 80.41,
        AgeMs: 312,
        Tags: [],
        Meta: {},
      },
    ])
  })

  it('shows all datacenters, each with its distance and age', async () => {
    node.on('GET /v1/health/service/web', {
      headers: answeredBy('eu-1', 'catalog', 0),
      body: [
        entry({ id: 'a', dc: 'eu-1', origin: { DistanceMs: 0, AgeMs: 0 } }),
        entry({ id: 'b', dc: 'ap-1', origin: { DistanceMs: null, AgeMs: 9140 } }),
      ],
    })
    const { out } = await atoll(['query', 'web', '--dc', '*'])
    expect(out).toContain('10.10.0.1:8080  passing  ap-1-n1  b   ap-1         -  9.1 s')
    expect(out).toContain('answered for all datacenters, each as fresh as its AGE says')
  })

  it('fails when there is none', async () => {
    node.on('GET /v1/health/service/web', { headers: answeredBy('eu-1', 'catalog', 0), body: [] })
    expect(await atoll(['query', 'web', '--passing', '--dc', 'us-1', '--tag', 'v9'])).toMatchObject({
      code: 1,
      out: '',
      err: 'error: no passing instance of "web" with v9 in us-1\nsee why with: atoll explain web\n',
    })
    const { code, out } = await atoll(['query', 'web', '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(out)).toMatchObject({ Instances: [] })
  })

  it('cuts what does not fit the terminal', async () => {
    node.on('GET /v1/health/service/web', {
      headers: answeredBy('eu-1', 'catalog', 0),
      body: [
        entry({ id: 'a-rather-long-id-of-an-instance', dc: 'eu-1', tags: ['a-long-tag', 'and-another', 'and-more'] }),
      ],
    })
    const { out } = await atoll(['query', 'web'], { columns: 80, env: { NO_COLOR: '1' } })
    for (const line of out.trimEnd().split('\n')) expect(line.length).toBeLessThanOrEqual(80)
    expect(out).toContain('a-long-…')
  })

  it('does not let a service order the terminal about', async () => {
    node.on('GET /v1/health/service/web', { body: [entry({ id: 'x\x1b]0;title\x07\n', dc: 'eu-1' })] })
    const { out } = await atoll(['query', 'web'], { columns: 120 })
    expect(out).not.toContain('\x1b]')
    expect(out).toContain('x\\u001b]0;title\\u0007\\u000a')
  })

  it('follows changes', async () => {
    const stop = new AbortController()
    let asked = 0
    node.on('GET /v1/health/service/web', ({ query }) => {
      asked++
      const index = Number(query.get('index') ?? 0)
      if (index >= 18) return 'taken'
      return { headers: answeredBy('eu-1', 'catalog', 0, index < 17 ? 17 : 18), body: index < 17 ? local : [] }
    })
    let lines = 0
    const { code, out } = await atoll(['query', 'web', '--watch', '--json'], {
      signal: stop.signal,
      onOut: () => ++lines === 2 && stop.abort(),
    })
    expect(code).toBe(0)
    const seen = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(seen.map(({ Index, Instances }) => [Index, Instances.length])).toEqual([
      [17, 2],
      [18, 0],
    ])
    expect(asked).toBeGreaterThan(2)
  })
})

describe('kv', () => {
  it('gets bytes as they are', async () => {
    node.on('GET /v1/kv/bin', { headers: { 'X-Consul-Index': '3' }, body: new Uint8Array([0, 255, 10, 128]) })
    expect([...(await atoll(['kv', 'get', 'bin'])).bytes]).toEqual([0, 255, 10, 128])
    node.on('GET /v1/kv/text', { headers: { 'X-Consul-Index': '3' }, body: 'blue' })
    expect((await atoll(['kv', 'get', 'text'])).out).toBe('blue')
    expect((await atoll(['kv', 'get', 'text'], { columns: 80 })).out).toBe('blue\n')
    expect(node.asked.every(({ query }) => query.has('raw'))).toBe(true)
  })

  it('gets with indexes, and below a prefix', async () => {
    node.on('GET /v1/kv/a', { headers: { 'X-Consul-Index': '35' }, body: [kvRow('a', 'blue', 42)] })
    expect(JSON.parse((await atoll(['kv', 'get', 'a', '--json', '--dc', 'us-1', '--consistent'])).out)).toEqual({
      Key: 'a',
      Value: 'Ymx1ZQ==',
      Text: 'blue',
      Flags: 42,
      LockIndex: 0,
      Session: '',
      CreateIndex: 31,
      ModifyIndex: 35,
    })
    expect([...node.asked[0]!.query]).toEqual([
      ['dc', 'us-1'],
      ['consistent', ''],
    ])
    node.on('GET /v1/kv/dir/', { headers: { 'X-Consul-Index': '35' }, body: [kvRow('dir/a', 'x'), kvRow('dir/b', '')] })
    expect((await atoll(['kv', 'get', 'dir/', '--recurse'])).out).toBe('dir/a: x\ndir/b: \n')
  })

  it('fails for a key that is not there', async () => {
    node.on('GET /v1/kv/nope', { status: 404, headers: { 'X-Consul-Index': '24' } })
    const missing = { code: 1, out: '', err: 'error: no key "nope"\nlist what there is with: atoll kv list\n' }
    expect(await atoll(['kv', 'get', 'nope'])).toMatchObject(missing)
    expect(await atoll(['kv', 'get', 'nope', '--recurse'])).toMatchObject({
      code: 1,
      err: 'error: no key begins with "nope"\n',
    })
    const { err } = await atoll(['kv', 'get', 'nope', '--json'])
    expect(JSON.parse(err).Error.Code).toBe('not-found')
  })

  it('puts a text, a file and standard input', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atoll-cli-'))
    try {
      node.on('PUT /v1/kv/a', { body: true })
      await writeFile(join(folder, 'v'), new Uint8Array([0, 1, 255]))
      expect(await atoll(['kv', 'put', 'a', 'blue', '--flags', '18446744073709551615'])).toMatchObject({
        code: 0,
        out: 'wrote a\n',
      })
      await atoll(['kv', 'put', 'a', `@${join(folder, 'v')}`, '--dc', 'us-1'])
      await atoll(['kv', 'put', 'a', '-', '--cas', '0'], { stdin: new Uint8Array([9, 254]) })
      await atoll(['kv', 'put', 'a', ''])
      await atoll(['kv', 'put', 'a', '--cas=3', '--', '--x'])
      expect(node.asked.map(({ body, query }) => [[...body], query.toString()])).toEqual([
        [[98, 108, 117, 101], 'flags=18446744073709551615'],
        [[0, 1, 255], 'dc=us-1'],
        [[9, 254], 'cas=0'],
        [[], ''],
        [[45, 45, 120], 'cas=3'],
      ])
      expect(await atoll(['kv', 'put', 'a', 'x', '--flags', '-1'])).toMatchObject({ code: 2 })
      expect(await atoll(['kv', 'put', 'a'])).toMatchObject({ code: 2 })
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('tells why a check-and-set left the key as it is', async () => {
    node.on('PUT /v1/kv/a', { body: false })
    node.on('DELETE /v1/kv/a', { body: false })
    expect(await atoll(['kv', 'put', 'a', 'x', '--cas', '7'])).toMatchObject({
      code: 1,
      err: 'error: "a" was left as it is: its ModifyIndex is not 7\nread it again with: atoll kv get a --json\n',
    })
    expect((await atoll(['kv', 'put', 'a', 'x', '--cas', '0'])).err).toContain('it is there already')
    expect(await atoll(['kv', 'delete', 'a', '--cas', '7'])).toMatchObject({ code: 1 })
  })

  it('deletes one key or a tree, and lists', async () => {
    node.on('DELETE /v1/kv/a', { body: true })
    node.on('GET /v1/kv/', { headers: { 'X-Consul-Index': '3' }, body: ['a', 'dir/'] })
    expect((await atoll(['kv', 'delete', 'a'])).out).toBe('deleted a\n')
    expect((await atoll(['kv', 'delete', 'a', '--recurse'])).out).toBe('deleted all that begins with a\n')
    expect(await atoll(['kv', 'delete', 'a', '--recurse', '--cas', '3'])).toMatchObject({ code: 2 })
    expect((await atoll(['kv', 'list', '--separator', '/'])).out).toBe('a\ndir/\n')
    expect(JSON.parse((await atoll(['kv', 'list', '--json'])).out)).toEqual(['a', 'dir/'])
    expect(node.asked.map(({ query }) => query.toString())).toEqual(['', 'recurse=', 'keys=&separator=%2F', 'keys='])
  })
})

describe('mesh', () => {
  it('shows every datacenter', async () => {
    node.on('GET /v1/mesh', { body: mesh })
    const { code, out } = await atoll(['mesh', '--links'])
    expect(code).toBe(0)
    expect(out).toBe(
      table(
        'DC           STATE                   RTT  REVISION  BEHIND     AGE  GATEWAYS',
        'eu-1 (here)  live                      -         -       -       -  eu-1-server',
        'us-1         live                  80 ms       120       0  312 ms  1 of 1 connected',
        'ap-1         live, not reachable       -        88       3   9.1 s  0 of 1 connected',
        'af-1         live, via us-1       231 ms         7       0  480 ms  1 of 1 connected',
        'sa-1         lost                      -         -       -       -  0 of 0 connected',
        '',
        'CONNECTED TO  DC    ROLE       RTT  DIRECTION  ADDRESS',
        'us-1-server   us-1  server   80 ms  outbound   /ip4/127.0.0.1/tcp/8310',
        'af-1-server   af-1  server  231 ms  inbound    via us-1-server',
        'as seen by eu-1-server, a server of eu-1 on node 24.21.0, with 2 links',
      ),
    )
    expect(JSON.parse((await atoll(['mesh', '--json'])).out)).toEqual(mesh)
  })

  it('says what is overdue, and what is wrong with identities', async () => {
    const Datacenters = mesh.Datacenters.map((each) => ({ ...each, Suspected: each.Datacenter === 'ap-1' }))
    const problem = {
      Kind: 'key-in-use',
      Datacenter: 'us-1',
      Node: 'n',
      Message: 'two\x1b processes',
      LastSeenMs: 1500,
    }
    node.on('GET /v1/mesh', { body: { ...mesh, Datacenters, Problems: [problem] } })
    const { out } = await atoll(['mesh'])
    expect(out).toMatch(/^ap-1 +live, overdue, not reachable /m)
    expect(out).toContain('key-in-use: two\\u001b processes (seen 1.5 s ago)\nas seen by')
  })
})

describe('rtt', () => {
  beforeEach(() => {
    node.on('GET /v1/agent/self', { body: self })
    node.on('GET /v1/coordinate/nodes', { body: nodeCoordinates })
    node.on('GET /v1/coordinate/datacenters', { body: datacenterCoordinates })
  })

  it('estimates between nodes, and between datacenters by their nearest servers', async () => {
    const lines = async (...argv: string[]) => (await atoll(['rtt', ...argv])).out
    expect(await lines('n2', 'n3')).toBe('estimated n2 <-> n3 rtt: 25.000 ms (using LAN coordinates)\n')
    expect(await lines('N2')).toBe('estimated N2 <-> n1 rtt: 5.000 ms (using LAN coordinates)\n')
    expect(await lines('--wan', 'us-1')).toBe('estimated us-1 <-> eu-1 rtt: 80.000 ms (using WAN coordinates)\n')
    expect(await lines('--wan', 'm1.us-1', 'eu-1')).toBe(
      'estimated m1.us-1 <-> eu-1 rtt: 91.000 ms (using WAN coordinates)\n',
    )
    const { RttMs, ...rest } = JSON.parse(await lines('n2', 'n3', '--json'))
    expect(RttMs).toBeCloseTo(25)
    expect(rest).toEqual({ From: 'n2', To: 'n3', Coordinates: 'lan' })
  })

  it('says what is not known', async () => {
    expect(await atoll(['rtt', 'nope'])).toMatchObject({ code: 1, err: expect.stringContaining('of a node "nope"') })
    expect(await atoll(['rtt', '--wan', 'nope'])).toMatchObject({ code: 1, err: expect.stringContaining('"nope"') })
    expect(await atoll(['rtt', 'n1'])).toMatchObject({ code: 1, err: expect.stringContaining('the asked node itself') })
    expect(await atoll(['rtt', 'n1', 'n1'])).toMatchObject({ code: 2 })
  })
})

describe('explain', () => {
  it('shows each candidate and why', async () => {
    node.on('GET /v1/explain/web', { body: explanation })
    const { code, out } = await atoll(['explain', 'web'])
    expect(code).toBe(0)
    expect(out).toBe(
      table(
        'a lookup of web in eu-1 fails over to us-1',
        '',
        '    DC           DISTANCE     AGE  PASSING  WHY',
        '    eu-1 (here)         -       -   0 of 1  no instance passes',
        '->  us-1            80 ms  312 ms   2 of 2  nearest with passing instances',
        '    ap-1                -   9.1 s   1 of 1  cannot be reached',
        '',
        'DC    NODE  ID     ADDRESS        STATUS    FAILING CHECKS',
        'eu-1  n1    web-1  10.0.0.1:8080  critical  service:web-1',
        'us-1  n1    web-1  10.0.0.1:8080  passing',
        'us-1  n1    web-2  10.0.0.1:8080  passing',
      ),
    )
    expect(JSON.parse((await atoll(['explain', 'web', '--json'])).out)).toEqual(explanation)
  })

  it('says where it stays, and when there is nothing', async () => {
    const [home, ...others] = explanation.Candidates
    node.on('GET /v1/explain/web', { body: { ...explanation, Chosen: 'eu-1' } })
    expect((await atoll(['explain', 'web'])).out).toContain('a lookup of web in eu-1 is answered here')
    node.on('GET /v1/explain/web', { body: { ...explanation, Chosen: null } })
    expect((await atoll(['explain', 'web'])).out).toContain('a lookup of web in eu-1 finds nothing that passes')
    const none = [home!, ...others].map((one) => ({ ...one, Instances: 0, Entries: [] }))
    node.on('GET /v1/explain/nope', { body: { ...explanation, Chosen: null, Candidates: none } })
    expect(await atoll(['explain', 'nope'])).toMatchObject({ code: 1, out: '' })
  })
})

describe('join and leave', () => {
  it('joins what can be joined', async () => {
    node.on('PUT /v1/agent/join/%2Fip4%2F10.0.0.1%2Ftcp%2F8300', {})
    node.on('PUT /v1/agent/join/10.0.0.2%3A1', {
      status: 500,
      body: '1 error occurred:\n\t* Failed to join 10.0.0.2:1: refused\n\n',
    })
    const good = '/ip4/10.0.0.1/tcp/8300'
    expect(await atoll(['join', good])).toMatchObject({ code: 0, out: `joined ${good}\n`, err: '' })
    const both = await atoll(['join', good, '10.0.0.2:1'])
    expect(both).toMatchObject({ code: 0, out: `joined ${good}\n` })
    expect(both.err).toContain('Failed to join 10.0.0.2:1: refused')
    const none = await atoll(['join', '10.0.0.2:1', '--json'])
    expect(none.code).toBe(1)
    expect(JSON.parse(none.out)).toMatchObject({ Joined: [], Failed: [{ Address: '10.0.0.2:1' }] })
  })

  it('leaves, or declares another left', async () => {
    node.on('GET /v1/agent/self', { body: self })
    node.on('PUT /v1/agent/leave', {})
    node.on('PUT /v1/agent/force-leave/n9', {})
    expect(await atoll(['leave'])).toMatchObject({ code: 0, out: 'n1 leaves eu-1\n' })
    expect(await atoll(['leave', '--failed', 'n9'])).toMatchObject({ code: 0, out: 'n9 is out of the catalog\n' })
    expect(node.asked.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /v1/agent/self',
      'PUT /v1/agent/leave',
      'PUT /v1/agent/force-leave/n9',
    ])
  })
})

describe('version', () => {
  it('is that of this program, and of the node', async () => {
    node.on('GET /v1/agent/self', { body: self })
    expect((await runCli(['version'])).out).toMatch(/^atoll \d+\.\d+\.\d+ \((node|deno|bun) \d+.*\)\n$/)
    expect((await runCli(['--version'])).out).toBe((await runCli(['version'])).out)
    expect((await atoll(['version', '--agent'])).out).toContain('node n1 runs 0.1.0')
    expect(JSON.parse((await atoll(['version', '--agent', '--json'])).out)).toMatchObject({ Agent: '0.1.0' })
  })
})

describe('prepared', () => {
  const ID = 'bbbbbbbb-0000-0000-0000-000000000001'
  const stored = {
    ID,
    Name: 'db-',
    Template: { Type: 'name_prefix_match', Regexp: '', RemoveEmptyTags: false },
    Service: { Service: 'db', Failover: { NearestN: 2, Datacenters: ['us-1'] }, OnlyPassing: true, Tags: ['v1'] },
    DNS: { TTL: '10s' },
  }

  it('lists queries, and explains a name', async () => {
    node.on('GET /v1/query', { headers: answeredBy('eu-1', 'catalog', 0), body: [stored] })
    node.on('GET /v1/query/db-x/explain', { headers: answeredBy('eu-1', 'catalog', 0), body: { Query: stored } })
    const { out } = await atoll(['prepared', 'list'])
    expect(out.split('\n')[1]).toBe(`db-*  db       2 nearest, us-1  ${ID}`)
    const told = (await atoll(['prepared', 'explain', 'db-x'])).out
    expect(told).toMatch(/service +db\n/)
    expect(told).toMatch(/failover +2 nearest, us-1\n/)
  })

  it('stores what a file or standard input says, also in place of another', async () => {
    node.on('GET /v1/query', { headers: answeredBy('eu-1', 'catalog', 0), body: [stored] })
    node.on('POST /v1/query', { body: { ID } })
    node.on(`PUT /v1/query/${ID}`, { body: '' })
    const stdin = JSON.stringify({ Name: 'DB-', Service: { Service: 'db' } })
    expect((await atoll(['prepared', 'create', '-'], { stdin })).out).toBe(`created DB- (${ID})\n`)
    expect((await atoll(['prepared', 'create', '-', '--replace'], { stdin })).out).toBe(`replaced DB- (${ID})\n`)
    expect(node.asked.map(({ method }) => method)).toEqual(['POST', 'GET', 'PUT'])
    expect(await atoll(['prepared', 'create', '-'], { stdin: '{' })).toMatchObject({ code: 1 })
  })

  it('executes and removes', async () => {
    const body = { Service: 'web', Nodes: [entry({ id: 'web-1', dc: 'us-1' })], DNS: { TTL: '' }, Failovers: 1 }
    node.on('GET /v1/query/web/execute', { headers: answeredBy('us-1', 'replica', 41), body })
    const { out } = await atoll(['prepared', 'execute', 'web', '--limit', '1', '--near', '_agent'])
    expect(out).toContain('us-1-n1')
    expect(out).toContain('10.10.0.1:8080')
    expect([...node.asked[0]!.query]).toEqual([
      ['near', '_agent'],
      ['limit', '1'],
    ])
    expect((await atoll(['prepared', 'execute', 'nope'])).err).toContain('there is no prepared query "nope"')
    node.on('GET /v1/query', { headers: answeredBy('eu-1', 'catalog', 0), body: [stored] })
    node.on(`DELETE /v1/query/${ID}`, { body: '' })
    expect((await atoll(['prepared', 'delete', 'db-'])).out).toBe('deleted db-*\n')
    expect(await atoll(['prepared', 'delete', 'nope'])).toMatchObject({ code: 1 })
  })
})
