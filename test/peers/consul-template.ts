/**
 * The real consul-template, built from its Go module, with the template of docs/programs against two datacenters: what it
 * writes as services are registered, change, fail, move and heal, as keys change, while the other datacenter is lost, and when two
 * of them share the work. Needs Go and what it downloads: about a minute the first time, some seconds afterwards.
 *
 *   node test/peers/consul-template.ts [--json]
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type RunningNode, startNode } from '../../src/node.ts'
import { output } from './clients/suite.ts'
import { blockOf } from './pages.ts'
import { type Program, pathOf, start } from './process.ts'

const MODULE = 'github.com/hashicorp/consul-template@v0.41.1'
const PATIENCE_MS = 30_000
/** How long what must not change is looked at. */
const STEADY_MS = 5_000

interface Seen {
  readonly step: string
  readonly afterMs: number
}

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } })
if (pathOf('go') === undefined) {
  console.log('skipped: go is not there; install it (https://go.dev)')
  process.exit(0)
}
const folder = await mkdtemp(join(tmpdir(), 'atoll-consul-template-'))
const nodes: RunningNode[] = []
const programs: Program[] = []
const seen: Seen[] = []

async function build(): Promise<string> {
  const told = await output('go', ['install', MODULE], {
    cwd: folder,
    env: { GOBIN: folder },
    timeoutMs: 600_000,
  })
  if (told.includes('\nexit ')) throw new Error(`go install ${MODULE}: ${told}`)
  return join(folder, 'consul-template')
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

const put = async (node: RunningNode, path: string, body?: object | string): Promise<void> => {
  const text = typeof body === 'object' ? JSON.stringify(body) : body
  const init = { method: 'PUT', ...(text && { body: text }), signal: AbortSignal.timeout(10_000) }
  const answer = await fetch(node.httpAddress + path, init)
  if (!answer.ok) throw new Error(`PUT ${path}: ${answer.status} ${await answer.text()}`)
}

/** What one consul-template has written last, without blank lines. */
async function templating(program: string, name: string, more = ''): Promise<() => Promise<string[]>> {
  const cwd = join(folder, name)
  await mkdir(cwd)
  await writeFile(join(cwd, 'web.ctmpl'), blockOf('consul-template', 'ctmpl', {}))
  const server = here.httpAddress.replace('http://', '')
  await writeFile(join(cwd, 'ct.hcl'), blockOf('consul-template', 'hcl', { '127.0.0.1:8500': server }) + more)
  const running = await start(program, ['-config', 'ct.hcl'], { cwd })
  programs.push(running)
  return async () => {
    if (!running.running) throw new Error(`consul-template ended: ${running.output()}`)
    const text = await readFile(join(cwd, 'web.conf'), 'utf8').catch(() => '')
    return text.split('\n').filter((line) => line !== '')
  }
}

async function expectLines(step: string, look: () => Promise<string[]>, wanted: readonly string[]): Promise<void> {
  const startMs = performance.now()
  for (;;) {
    const lines = await look()
    if (JSON.stringify(lines) === JSON.stringify(wanted)) break
    if (performance.now() - startMs > PATIENCE_MS) {
      const said = programs.map((program) => program.output()).join('\n')
      throw new Error(`${step}: it wrote\n${lines.join('\n')}\nand not\n${wanted.join('\n')}\n${said}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  seen.push({ step, afterMs: Math.round(performance.now() - startMs) })
}

/** The keys by which consul-templates share their work: each is a lock, and holds what its holder read. */
async function sharedKeys(): Promise<string[]> {
  const path = '/v1/kv/consul-template/dedup/?recurse'
  const answer = await fetch(here.httpAddress + path, { signal: AbortSignal.timeout(10_000) })
  if (!answer.ok) return []
  const found = (await answer.json()) as { readonly Key: string; readonly Session?: string }[]
  return found.map(({ Key, Session }) => `${Key.split('/').at(-1)} is ${Session ? 'held' : 'free'}`)
}

const WEB = { ID: 'web-1', Name: 'web', Address: '10.1.0.1', Port: 8080, Tags: ['v1'], Meta: { owner: 'a' } }
const check = { CheckID: 'web-ttl', TTL: '10m', Status: 'passing' }
const FAR = {
  Node: 'm2',
  Address: '10.2.0.1',
  Service: {
    ID: 'web-m2',
    Service: 'web',
    Port: 9090,
    Tags: ['v9'],
    Meta: { owner: 'b' },
    TaggedAddresses: { wan: { Address: '198.51.100.9', Port: 443 } },
  },
}
const BOTH = ['datacenter eu-1', 'datacenter us-1']
/** As instances of us-1 are shown under its name, and to whom fails over. */
const [named, moved] = ['far web-m2 10.2.0.1:9090', 'server web-m2 198.51.100.9:443 v9 b']

const here = await startServer('n1', 'eu-1')
try {
  const there = await startServer('m1', 'us-1', here.addresses)
  await put(there, '/v1/catalog/register', FAR)
  const program = await build()
  const own = await templating(program, 'own')
  await expectLines('nothing here: another datacenter answers', own, ['title untitled', moved, named, ...BOTH])
  await put(here, '/v1/agent/service/register', { ...WEB, Check: check })
  const first = 'server web-1 10.1.0.1:8080 v1 a'
  const after = (title: string, limits: string[], lines: string[], tags: string): string[] => [
    `title ${title}`,
    ...limits,
    ...lines,
    named,
    `service web ${tags}`,
    ...BOTH,
  ]
  await expectLines('registered', own, after('untitled', [], [first, 'any web-1 passing'], 'v1'))
  await put(here, '/v1/kv/web/title', 'A title')
  await put(here, '/v1/kv/web/limits/rate', '100')
  const limits = ['limit rate 100']
  await expectLines('keys written', own, after('A title', limits, [first, 'any web-1 passing'], 'v1'))
  await put(here, '/v1/agent/service/register', { ...WEB, Port: 8081, Tags: ['v1', 'v2'], Check: check })
  const second = ['server web-1 10.1.0.1:8081 v1,v2 a', 'tagged web-1', 'any web-1 passing']
  await expectLines('changed', own, after('A title', limits, second, 'v1,v2'))
  await put(here, '/v1/agent/check/fail/web-ttl')
  await expectLines(
    'failed: another datacenter answers',
    own,
    after('A title', limits, [moved, 'any web-1 critical'], 'v1,v2'),
  )
  await put(here, '/v1/agent/check/pass/web-ttl')
  await expectLines('healed, and steady: back home', own, after('A title', limits, second, 'v1,v2'))

  const shared = await Promise.all(
    ['a', 'b'].map((name) => templating(program, name, 'deduplicate { enabled = true }\n')),
  )
  for (const look of shared) await expectLines('shared by two', look, after('A title', limits, second, 'v1,v2'))
  await expectLines('by a lock', sharedKeys, ['data is held'])
  await put(here, '/v1/kv/web/title', 'Another')
  for (const look of shared) await expectLines('changed for both', look, after('Another', limits, second, 'v1,v2'))

  await there.stop()
  const untilMs = performance.now() + STEADY_MS
  const steady = after('Another', limits, second, 'v1,v2')
  await expectLines('as before', own, steady)
  while (performance.now() < untilMs) {
    const lines = await own()
    if (JSON.stringify(lines) !== JSON.stringify(steady)) throw new Error(`lost: it wrote ${lines.join('\n')}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  seen.push({ step: 'kept while the other datacenter is lost', afterMs: STEADY_MS })
  await expectLines('written by one that begins meanwhile', await templating(program, 'late'), steady)
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
