/**
 * The discovery of Consul of the real Prometheus, built from its Go module, with the configuration of docs/programs against
 * two datacenters: what it finds as services are registered, change, fail and heal, and while the other datacenter is lost.
 * Needs Go and what it downloads: about a minute the first time, some seconds afterwards.
 *
 *   node test/peers/prometheus-sd.ts [--json]
 */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type RunningNode, startNode } from '../../src/node.ts'
import { output } from './clients/suite.ts'
import { blockOf } from './pages.ts'
import { type Program, pathOf, start } from './process.ts'

const PROMETHEUS = 'github.com/prometheus/prometheus@v0.305.0'
const PATIENCE_MS = 30_000
/** How long what must not change is looked at. */
const STEADY_MS = 5_000

interface Target {
  readonly __address__: string
  readonly [label: string]: string
}
interface Seen {
  readonly step: string
  readonly afterMs: number
}

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } })
if (pathOf('go') === undefined) {
  console.log('skipped: go is not there; install it (https://go.dev)')
  process.exit(0)
}
const folder = await mkdtemp(join(tmpdir(), 'atoll-prometheus-sd-'))
const nodes: RunningNode[] = []
const programs: Program[] = []
const seen: Seen[] = []

async function build(): Promise<string> {
  const cwd = join(folder, 'sd')
  await cp(fileURLToPath(new URL('prometheus-sd', import.meta.url)), cwd, { recursive: true })
  await writeFile(join(cwd, 'go.mod'), 'module atoll/prometheus-sd\n\ngo 1.25\n')
  const go = async (...args: string[]): Promise<void> => {
    const told = await output('go', args, { cwd, timeoutMs: 600_000 })
    if (told.includes('\nexit ')) throw new Error(`go ${args.join(' ')}: ${told}`)
  }
  await go('get', PROMETHEUS)
  await go('mod', 'tidy')
  await go('build', '-o', 'sd', '.')
  return join(cwd, 'sd')
}

const startServer = async (node: string, datacenter: string, peers: readonly string[] = []): Promise<RunningNode> => {
  const running = await startNode({
    node,
    datacenter,
    dataDirectory: join(folder, node),
    server: true,
    http: { port: 0 },
    dns: { port: 0 },
    federation: { port: 0, join: [...peers] },
    log: { level: 'error' },
  })
  nodes.push(running)
  return running
}

const put = async (node: RunningNode, path: string, body?: object): Promise<void> => {
  const init = { method: 'PUT', ...(body && { body: JSON.stringify(body) }), signal: AbortSignal.timeout(10_000) }
  const answer = await fetch(node.httpAddress + path, init)
  if (!answer.ok) throw new Error(`PUT ${path}: ${answer.status} ${await answer.text()}`)
}

async function discover(name: string, sd: string, more: string): Promise<() => readonly Target[] | undefined> {
  const server = here.httpAddress.replace('http://', '')
  const block = blockOf('prometheus', 'yaml', { '127.0.0.1:8500': server }, 1)
  const file = join(folder, `${name}.yml`)
  await writeFile(file, block.replace(/^( *)services: .*\n/m, `$&$1${more}\n`))
  const program = await start(sd, [file], { cwd: folder })
  programs.push(program)
  return () => {
    if (!program.running) throw new Error(`the discovery ended: ${program.output()}`)
    const line = program.lines().at(-1)
    return line === undefined ? undefined : (JSON.parse(line) as Target[])
  }
}

const shown = (targets: readonly Target[] | undefined): string =>
  JSON.stringify(
    targets?.map((target) => [
      target.__address__,
      target.__meta_consul_dc,
      target.__meta_consul_service_id,
      target.__meta_consul_tags,
      target.__meta_consul_health,
      target.__meta_consul_service_metadata_owner,
    ]),
  )

async function expectTargets(step: string, look: () => readonly Target[] | undefined, wanted: readonly unknown[]) {
  const startMs = performance.now()
  while (shown(look()) !== JSON.stringify(wanted)) {
    if (performance.now() - startMs > PATIENCE_MS) {
      throw new Error(`${step}: it finds ${shown(look())} and not ${JSON.stringify(wanted)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  seen.push({ step, afterMs: Math.round(performance.now() - startMs) })
}

const WEB = { ID: 'web-1', Name: 'web', Address: '10.1.0.1', Port: 8080, Tags: ['v1'], Meta: { owner: 'a' } }
const check = { CheckID: 'web-ttl', TTL: '10m', Status: 'passing' }
const row = (port: number, tags: string, health: string) => [
  `10.1.0.1:${port}`,
  'eu-1',
  'web-1',
  `,${tags},`,
  health,
  'a',
]
const db = (node: string, ip: string) => ({
  Node: node,
  Address: ip,
  Service: { ID: `web-${node}`, Service: 'web', Port: 9090, Tags: ['v9'], Meta: { owner: 'b' } },
})
const far = ['10.2.0.1:9090', 'us-1', 'web-m2', ',v9,', 'passing', 'b']

const here = await startServer('n1', 'eu-1')
try {
  const there = await startServer('m1', 'us-1', here.addresses)
  const sd = await build()
  const own = await discover('own', sd, 'allow_stale: true')
  await put(here, '/v1/agent/service/register', { ...WEB, Check: check })
  await expectTargets('registered', own, [row(8080, 'v1', 'passing')])
  await put(here, '/v1/agent/service/register', { ...WEB, Port: 8081, Tags: ['v1', 'v2'], Check: check })
  await expectTargets('changed', own, [row(8081, 'v1,v2', 'passing')])
  await put(here, '/v1/agent/check/fail/web-ttl')
  await expectTargets('failed', own, [row(8081, 'v1,v2', 'critical')])
  await put(here, '/v1/agent/check/pass/web-ttl')
  await expectTargets('healed', own, [row(8081, 'v1,v2', 'passing')])
  await put(here, '/v1/catalog/register', db('x', '10.1.0.9'))
  const other = ['10.1.0.9:9090', 'eu-1', 'web-x', ',v9,', 'passing', 'b']
  await expectTargets('a second instance', own, [row(8081, 'v1,v2', 'passing'), other])
  await put(here, '/v1/agent/service/deregister/web-1')
  await expectTargets('the first one removed', own, [other])

  await put(there, '/v1/catalog/register', db('m2', '10.2.0.1'))
  const remote = await discover('remote', sd, 'datacenter: us-1')
  await expectTargets('found in another datacenter', remote, [far])
  await there.stop()
  const untilMs = performance.now() + STEADY_MS
  while (performance.now() < untilMs) {
    if (shown(remote()) !== JSON.stringify([far])) throw new Error(`lost: it finds ${shown(remote())}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  seen.push({ step: 'kept while that datacenter is lost', afterMs: STEADY_MS })
  const late = await discover('late', sd, 'datacenter: us-1')
  await expectTargets('found there by who begins meanwhile', late, [far])
  console.log(
    values.json
      ? JSON.stringify(seen)
      : ['| step | after ms |', '|---|---|', ...seen.map(({ step, afterMs }) => `| ${step} | ${afterMs} |`)].join('\n'),
  )
} finally {
  await Promise.all(programs.map((program) => program.stop()))
  await Promise.all(nodes.map((node) => node.stop()))
  await rm(folder, { recursive: true, force: true })
}
