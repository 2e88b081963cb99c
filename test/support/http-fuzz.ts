/** Requests that no client should send, seeded: wrong bytes, paths, parameters, headers, bodies, lengths and manners. */
import { connect, type Socket } from 'node:net'
import type { SeededRandom } from '../../src/runtime/virtual.ts'

export interface HttpFuzzOptions {
  readonly port: number
  readonly random: SeededRandom
  readonly requests: number
  /** Connections at once. */
  readonly connections: number
}

export interface HttpFuzzResult {
  readonly sent: number
  /** Answers by status. */
  readonly statuses: ReadonlyMap<number, number>
  /** What the answers with status 500 say, values aside: in Consul's API that is how some wrong requests are refused. */
  readonly refusals: ReadonlyMap<string, number>
  /** Answers that no request may get, with the beginning of what was sent. */
  readonly faults: readonly string[]
}

/** A connection that says nothing for so long is given up: many of these requests are never to be answered. */
const SILENT_MS = 1_500
/** Every answer of the API has this header, also a 500 that Consul would give; one without is of who serves it. */
const isForeign500 = (answer: string): boolean =>
  [...answer.matchAll(/HTTP\/1\.1 500 [\s\S]*?\r\n\r\n/g)].some(
    ([head]) => !/\nx-consul-default-acl-policy:/i.test(head),
  )

const MAX_FAULTS = 20
/** The head of an answer that is not a mere "go on". */
const FINAL = /HTTP\/1\.[01] [2-5]\d\d [\s\S]*?\r\n\r\n/g
const MAX_REFUSALS = 500

const withoutValues = (text: string): string =>
  text.replaceAll(/"(?:[^"\\]|\\.)*"?|'[^']*'?|-?\d[\d.e+-]*/g, '…').slice(0, 100)

/** What routes are under; some take part of the path. Not `agent/leave`, which would end the node. */
const PATHS = [
  ...['self', 'members', 'metrics', 'services', 'checks', 'host', 'version', 'reload'].map(
    (name) => `/v1/agent/${name}`,
  ),
  ...[
    'service/register',
    'service/load/c',
    'check/register',
    'check/update/c',
    'service/c',
    'check/pass/c',
    'service/deregister/c',
  ].map((name) => `/v1/agent/${name}`),
  ...[
    'health/service/id/c',
    'health/service/name/c',
    'maintenance',
    'force-leave/x',
    'connect/ca/roots',
    'monitor',
  ].map((name) => `/v1/agent/${name}`),
  ...['datacenters', 'nodes', 'services', 'service/a', 'node/a', 'node-services/a', 'register', 'deregister'].map(
    (name) => `/v1/catalog/${name}`,
  ),
  ...['service/a', 'checks/a', 'node/a', 'state/any', 'connect/a', 'ingress/a'].map((name) => `/v1/health/${name}`),
  ...['a', 'a/b', '', '%2f', 'a?recurse', 'a?keys', 'a?raw', 'a?cas=1', 'a?flags=1', 'q/?sequence'].map(
    (name) => `/v1/kv/${name}`,
  ),
  ...['create', 'destroy/x', 'info/x', 'node/a', 'list', 'renew/x'].map((name) => `/v1/session/${name}`),
  ...['raft/configuration', 'raft/peer', 'autopilot/configuration', 'autopilot/health', 'usage', 'keyring'].map(
    (name) => `/v1/operator/${name}`,
  ),
  ...['status/leader', 'status/peers', 'coordinate/nodes', 'coordinate/update', 'coordinate/node/a', 'txn'].map(
    (name) => `/v1/${name}`,
  ),
  ...['event/fire/e', 'event/list', 'query', 'query/x', 'query/x/execute', 'config', 'config/service-defaults'].map(
    (name) => `/v1/${name}`,
  ),
  ...[
    'internal/ui/services',
    'internal/ui/nodes',
    'mesh',
    'explain/a',
    'watch/kv/a',
    'watch/health/service/a',
    'watch/catalog/services',
  ].map((name) => `/v1/${name}`),
  ...['watch/kv-changes/a', 'snapshot', 'acl/tokens', 'openapi.json', 'nothing'].map((name) => `/v1/${name}`),
  ...['/', '/ui/', '/robots.txt', '/v1', '/v1/', '*', '', 'x', '//v1//kv//a', '/v1/kv/../../x', '/v1/./agent/self'],
]
const METHODS = ['GET', 'GET', 'PUT', 'PUT', 'DELETE']
const ODD_METHODS = ['POST', 'HEAD', 'OPTIONS', 'PATCH', 'BOGUS', 'get', '', 'CONNECT', 'TRACE']
const ODD_VERSIONS = ['HTTP/1.0', 'HTTP/2.0', 'HTTP/9.9', 'http/1.1', '', 'HTTP/1.1 x']
const PARAMETERS = [
  'index',
  'wait',
  'dc',
  'near',
  'node-meta',
  'filter',
  'passing',
  'tag',
  'stale',
  'consistent',
  'cached',
  'max_stale',
  'pretty',
  'recurse',
  'keys',
  'separator',
  'cas',
  'flags',
  'acquire',
  'release',
  'raw',
  'enable',
  'reason',
  'hash',
  'token',
  'ns',
  'name',
  'format',
  'limit',
  'children',
  'peer',
  'sort',
  'load',
  'global',
]
const VALUES = [
  '',
  '0',
  '1',
  '-1',
  'x',
  '18446744073709551616',
  '99999999999999999999999',
  '1e9',
  '10s',
  '-5m',
  '1ms',
  'NaN',
  '%',
  '%zz',
  '%00',
  '%ff%fe',
  '*',
  'nearest',
  'dc9',
  'DC1',
  'Node == ',
  'Service.Tags contains "a"',
  '((((',
  'Meta["a"] matches "(a+)+$"',
  'ServiceLoad <= 0.5 and ServiceName != x',
  'load',
  'a:b',
  ':',
  '__proto__',
  '%F0%9F%92%A9',
  ';',
  '../..',
  'constructor',
]
const HEADERS = [
  'Host: x',
  'X-Consul-Token: \x00',
  'Authorization: Bearer',
  'Cache-Control: max-age=x',
  'Accept-Encoding: gzip;q=x',
  'Expect: 100-continue',
  'Content-Type: x/y',
  'Last-Event-ID: -1',
  'Connection: upgrade',
  'Upgrade: h2c',
  'Transfer-Encoding: gzip',
  'Range: bytes=0-',
  'no colon',
  ': no name',
  'X Y: z',
  'Cookie: a=b',
  'X-Consul-Namespace: n',
  'If-None-Match: *',
  'Trailer: x',
  'Content-Encoding: gzip',
]
const FIELDS = [
  'ID',
  'Name',
  'Node',
  'Address',
  'Port',
  'Tags',
  'Meta',
  'Check',
  'Checks',
  'TTL',
  'HTTP',
  'TCP',
  'Interval',
  'Service',
  'Kind',
  'Proxy',
  'Weights',
  'Definition',
  'KV',
  'Verb',
  'Key',
  'Value',
  'Flags',
  'Session',
  'LockDelay',
  'Behavior',
  'Coord',
  'Vec',
  'Status',
  '__proto__',
  'constructor',
  'toString',
  'Failover',
  'Token',
  'TaggedAddresses',
  'Template',
  'Datacenter',
]

type Pick = <T>(list: readonly T[]) => T

class Maker {
  readonly #random: SeededRandom

  constructor(random: SeededRandom) {
    this.#random = random
  }

  upTo(max: number): number {
    return Math.floor(this.#random.float() * max)
  }

  pick: Pick = (list) => list[this.upTo(list.length)]!

  chance(share: number): boolean {
    return this.#random.float() < share
  }

  method(): string {
    return this.pick(this.chance(0.9) ? METHODS : ODD_METHODS)
  }

  target(): string {
    let path = this.pick(PATHS)
    if (this.chance(0.1))
      path += this.pick([
        '/',
        '//',
        '/..',
        '%2e%2e',
        '%',
        '%zz',
        '%00',
        '\x00',
        ' ',
        '\xff\xfe',
        '#x',
        '?',
        '/__proto__',
      ])
    if (this.chance(0.02)) path += 'a'.repeat(this.upTo(40_000))
    const count = this.chance(0.5) ? 0 : this.upTo(5)
    for (let i = 0; i < count; i++) {
      path += `${path.includes('?') ? '&' : '?'}${this.pick(PARAMETERS)}${this.pick(['=', '=', '=', '', '=='])}${this.pick(VALUES)}`
    }
    return path
  }

  json(depth = 0): unknown {
    const kind = this.upTo(depth > 4 ? 6 : 9)
    if (kind === 0) return null
    if (kind === 1) return this.chance(0.5)
    if (kind === 2) return this.pick([0, -1, 1.5, 1e300, 2 ** 53, -(2 ** 31), 65_536])
    if (kind < 6) return this.pick([...VALUES, 'passing', '10s', 'a', 'web', 'set', 'http://127.0.0.1:1/', '::1'])
    if (kind === 6) return Array.from({ length: this.upTo(4) }, () => this.json(depth + 1))
    const object: [string, unknown][] = []
    for (let i = this.upTo(6); i > 0; i--) object.push([this.pick(FIELDS), this.json(depth + 1)])
    return Object.fromEntries(object)
  }

  body(): Buffer {
    const kind = this.upTo(10)
    if (kind === 0) return Buffer.alloc(0)
    if (kind === 1) return Buffer.from(this.#random.bytes(this.upTo(300)))
    if (kind === 2)
      return Buffer.from(
        this.pick([
          '{',
          '[',
          '"',
          '{"a":',
          '[[[',
          'null',
          'tru',
          '{}{}',
          '\ufeff{}',
          '"\\ud800"',
          '-',
          '1e',
          '{"a":1,}',
          '//',
        ]),
      )
    if (kind === 3) return Buffer.from('['.repeat(this.upTo(2_000)) + ']'.repeat(this.upTo(2_000)))
    if (kind === 4) return Buffer.alloc(this.upTo(5_000), this.pick(['a', '\x00', '\xff', '[', '{']))
    const bytes = Buffer.from(JSON.stringify(this.json()))
    // Half of them are damaged somewhere.
    if (kind > 6 && bytes.length > 0) bytes[this.upTo(bytes.length)] = this.upTo(256)
    return bytes
  }

  chunked(body: Buffer): Buffer {
    const size = this.pick([
      body.length.toString(16),
      'zz',
      '-1',
      'ffffffffffffffffff',
      '',
      `${body.length.toString(16)};x=y`,
      '0',
      '7fffffff',
    ])
    const end = this.pick(['\r\n0\r\n\r\n', '\r\n0\r\n', '', '\r\n0\r\nX: y\r\n\r\n', '0\r\n\r\n', '\n'])
    return Buffer.concat([Buffer.from(`${size}\r\n`), body, Buffer.from(end)])
  }

  request(): Buffer {
    if (this.chance(0.03)) return Buffer.from(this.#random.bytes(1 + this.upTo(200)))
    if (this.chance(0.01)) return Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    const body = this.chance(0.6) ? this.body() : undefined
    const lines = [`${this.method()} ${this.target()} ${this.chance(0.94) ? 'HTTP/1.1' : this.pick(ODD_VERSIONS)}`]
    if (this.chance(0.95)) lines.push('Host: 127.0.0.1')
    for (let i = this.chance(0.15) ? this.upTo(4) : 0; i > 0; i--) lines.push(this.pick(HEADERS))
    if (this.chance(0.01)) for (let i = 0; i < 150; i++) lines.push(`X-${i}: y`)
    if (this.chance(0.01)) lines.push(`X-Long: ${'y'.repeat(this.upTo(70_000))}`)
    const chunked = body !== undefined && this.chance(0.2)
    if (chunked) lines.push('Transfer-Encoding: chunked')
    if (body !== undefined && (!chunked || this.chance(0.1))) {
      const length = this.chance(0.85)
        ? body.length
        : this.pick([0, body.length + 5, 2_000_000, -1, 1e20, 'x', `${body.length}, 3`])
      lines.push(`Content-Length: ${length}`)
    }
    const newline = this.chance(0.97) ? '\r\n' : '\n'
    const head = Buffer.from(`${lines.join(newline)}${newline}${newline}`, 'latin1')
    const whole = Buffer.concat([head, ...(body === undefined ? [] : [chunked ? this.chunked(body) : body])])
    return this.chance(0.03) ? whole.subarray(0, this.upTo(whole.length)) : whole
  }
}

/** Sends them all and tells what came back. Rejects when the node does not take a connection any more. */
export async function httpFuzz({ port, random, requests, connections }: HttpFuzzOptions): Promise<HttpFuzzResult> {
  const maker = new Maker(random)
  const statuses = new Map<number, number>()
  const refusals = new Map<string, number>()
  const faults: string[] = []
  let sent = 0
  const one = async (): Promise<void> => {
    while (sent < requests) {
      const pipelined = Array.from({ length: maker.chance(0.3) ? 1 + maker.upTo(8) : 1 }, () => maker.request())
      sent += pipelined.length
      const answer = await exchange(port, Buffer.concat(pipelined), pipelined.length, maker)
      for (const [, status] of answer.matchAll(/HTTP\/1\.[01] (\d{3}) /g)) {
        statuses.set(Number(status), (statuses.get(Number(status)) ?? 0) + 1)
      }
      for (const [, said] of answer.matchAll(/HTTP\/1\.1 500 [\s\S]*?\r\n\r\n([^\r\n]*?)(?=HTTP\/1\.1 |[\r\n]|$)/g)) {
        const text = withoutValues(said!)
        if (refusals.has(text) || refusals.size < MAX_REFUSALS) refusals.set(text, (refusals.get(text) ?? 0) + 1)
      }
      if (
        (/HTTP\/1\.1 50[2-46-9] |Internal error; see the log/.test(answer) || isForeign500(answer)) &&
        !/HTTP\/1\.1 501 /.test(answer) &&
        faults.length < MAX_FAULTS
      ) {
        const about = pipelined.map((each) => JSON.stringify(each.toString('latin1').slice(0, 300))).join(' + ')
        faults.push(`${about} -> ${JSON.stringify(answer.slice(0, 300))}`)
      }
    }
  }
  await Promise.all(Array.from({ length: connections }, one))
  return { sent, statuses, refusals, faults }
}

/** One connection: all at once, in two pieces, half closed, or gone before the answer. It ends once all have one. */
function exchange(port: number, bytes: Buffer, requests: number, maker: Maker): Promise<string> {
  const manner = maker.upTo(20)
  const cut = maker.upTo(bytes.length)
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket: Socket = connect({ port, host: '127.0.0.1' })
    const finish = (): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(SILENT_MS, finish)
    socket.on('connect', () => {
      if (manner === 0) {
        socket.write(bytes.subarray(0, cut))
        setTimeout(() => socket.destroyed || socket.write(bytes.subarray(cut)), 20)
      } else if (manner === 1) socket.end(bytes)
      else if (manner === 2) socket.write(bytes, () => socket.destroy())
      else socket.write(bytes)
    })
    socket.on('data', (chunk: Buffer) => {
      if (answer.length < 20_000) answer += chunk.toString('latin1')
      if ((answer.match(FINAL)?.length ?? 0) >= requests) finish()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') reject(new Error('the node takes no connections any more'))
      else finish()
    })
    socket.on('close', () => resolve(answer))
  })
}

/** Removes what was written among it all, so that what the node holds can be compared with before. */
export async function tidyUp(port: number): Promise<void> {
  const base = `http://127.0.0.1:${port}/v1`
  const signal = (): AbortSignal => AbortSignal.timeout(30_000)
  const put = (path: string, body?: string): Promise<Response> =>
    fetch(`${base}${path}`, { method: 'PUT', signal: signal(), ...(body && { body }) }).then(drained)
  const get = async (path: string): Promise<unknown> => (await fetch(`${base}${path}`, { signal: signal() })).json()
  await fetch(`${base}/kv/?recurse`, { method: 'DELETE', signal: signal() }).then(drained)
  for (const { ID } of (await get('/session/list')) as { ID: string }[]) await put(`/session/destroy/${ID}`)
  for (const id of Object.keys((await get('/agent/services')) as object))
    await put(`/agent/service/deregister/${encodeURIComponent(id)}`)
  for (const id of Object.keys((await get('/agent/checks')) as object))
    await put(`/agent/check/deregister/${encodeURIComponent(id)}`)
  await put('/agent/maintenance?enable=false')
  const self = (await get('/agent/self')) as { Config: { NodeName: string } }
  for (const { Node } of (await get('/catalog/nodes')) as { Node: string }[]) {
    if (Node !== self.Config.NodeName) await put('/catalog/deregister', JSON.stringify({ Node }))
  }
}

async function drained(response: Response): Promise<Response> {
  await response.arrayBuffer()
  return response
}
