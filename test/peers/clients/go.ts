/**
 * The tests of github.com/hashicorp/consul/api, Consul's own Go client, as its module carries them. They start a `consul`
 * that they find on the PATH, for which they write a configuration file, with a harness of another module (sdk). Two things
 * of that harness are changed, none of the tests: it asks for no service mesh, and waits for as long as a start takes.
 */
import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Outcome, output, type Skips, skipOf } from './suite.ts'

const API = 'github.com/hashicorp/consul/api@v1.32.1'
const SDK = 'github.com/hashicorp/consul/sdk@v0.16.1'
const SUITE = 'consul/api (Go)'

const SKIPS: Skips = [
  [/TestAPI_ACL|Peering_ACL|AuthMethod|AgentUpdateToken|ServiceRegisterOpts_Token|Snapshot_Options/, 'access control'],
  [
    /Connect|TestAPI_ConfigEntr|DiscoveryChain|Intention|HealthIngress|GatewayServices|AssignServiceVirtualIP|ExportedServices|SidecarService/,
    'service mesh',
  ],
  [/Peering/, 'peering'],
  [/Namespace|Partition|_Ent\b/, 'Enterprise'],
  [/AutopilotGetSet|AutopilotCAS|Keyring|RaftLeaderTransfer|RaftRemovePeer/, 'steers Raft'],
  [/TestAPI_Debug/, "profiles of Go's runtime"],
  [/TLSOptions|SetupTLSConfig/, 'needs files that are not in the module'],
  [/UnixSocket/, 'HTTP on a Unix socket'],
  [/AgentMembersOpts|AgentLeave/, 'joins by the port of Serf, which Atoll does not have'],
  [/TestAPI_AgentService$/, "expects the very hash that Go's library makes of its struct"],
]

export interface SuiteOptions {
  /** A folder of its own. */
  readonly folder: string
  /** For PATH. */
  readonly path: string
  /** Tests to run: a pattern of their names. */
  readonly run: string
  readonly parallel: number
}

async function module(name: string, to: string, cwd: string): Promise<string> {
  const told = await output('go', ['mod', 'download', '-json', name], { cwd, timeoutMs: 120_000 })
  const directory = /"Dir": "([^"]+)"/.exec(told)?.[1]
  if (directory === undefined) throw new Error(`go mod download ${name}: ${told}`)
  const copy = join(cwd, to)
  await cp(directory, copy, { recursive: true })
  await output('chmod', ['-R', 'u+w', copy], { cwd, timeoutMs: 60_000 })
  return copy
}

async function change(file: string, from: string, to: string): Promise<void> {
  const text = await readFile(file, 'utf8')
  if (!text.includes(from)) throw new Error(`${file} is not what is known of it: it has no ${JSON.stringify(from)}`)
  await writeFile(file, text.replace(from, to))
}

export async function goSuite({ folder, path, run, parallel }: SuiteOptions): Promise<Outcome[]> {
  const api = await module(API, 'api', folder)
  // Where the module itself looks for its harness.
  const server = join(await module(SDK, 'sdk', folder), 'testutil/server.go')
  await change(
    server,
    'Connect: map[string]interface{}{\n\t\t\t"enabled": true',
    'Connect: map[string]interface{}{\n\t\t\t"enabled": false',
  )
  await change(
    server,
    'timer := retry.TwoSeconds()',
    'timer := &retry.Timer{Timeout: 60 * time.Second, Wait: 25 * time.Millisecond}',
  )
  await change(server, '\t\tfailed = false\n', '\t\treturn nil\n')
  const built = await output('go', ['test', '-c', '-o', '../api.test', '.'], { cwd: api, timeoutMs: 600_000 })
  if (built.includes('exit ')) throw new Error(built)
  const options = { cwd: api, env: { PATH: `${path}:${process.env.PATH}` }, timeoutMs: 1_800_000 }
  const names = (await output('../api.test', ['-test.list', run], options))
    .split('\n')
    .filter((name) => /^Test/.test(name))
  const skipped = names.filter((name) => skipOf(name, SKIPS) !== undefined)
  const args = ['-test.run', run, '-test.skip', `^(${skipped.join('|')})$`, '-test.v', '-test.timeout', '25m']
  const told = await output('../api.test', [...args, '-test.parallel', String(parallel)], options)
  return [
    ...skipped.map((test): Outcome => ({ suite: SUITE, test, result: 'skipped', reason: skipOf(test, SKIPS)! })),
    ...outcomesOf(told),
  ]
}

const RESULT = { PASS: 'passed', FAIL: 'failed', SKIP: 'skipped' } as const
/** Lines of the harness and of the nodes that it starts. */
const NOISE =
  /^\[(DEBUG|INFO)\]|CONFIG JSON|test cmd args|has no effect|^ {2}(HTTP|DNS|libp2p) |is ready$|^\d\d:\d\d:\d\d\.\d+ /

/** Of the output of `-test.v`: a test's lines follow its name, its result comes by itself. */
function outcomesOf(told: string): Outcome[] {
  const outcomes: Outcome[] = []
  const said = new Map<string, string[]>()
  let current = ''
  for (const line of told.split('\n')) {
    const named = /^=== (?:NAME|RUN|CONT|PAUSE) +(\S+)/.exec(line)
    const ended = /^--- (PASS|FAIL|SKIP): (\S+)/.exec(line)
    if (named) current = named[1]!
    else if (ended) {
      const [, result, test] = ended as unknown as [string, keyof typeof RESULT, string]
      outcomes.push({ suite: SUITE, test, result: RESULT[result], reason: '' })
    } else if (line.trim() !== '' && !NOISE.test(line)) {
      const top = current.split('/')[0]!
      said.set(top, [...(said.get(top) ?? []), line].slice(0, 12))
    }
  }
  return outcomes.map((one) =>
    one.result === 'passed' ? one : { ...one, reason: said.get(one.test)?.join('\n') ?? '' },
  )
}
