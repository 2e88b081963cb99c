/**
 * For how long nobody's writes come through after a server or etcd's leader is gone: three servers on three members and a client
 * node, each written to by clients of its own that try again at once. An outage is the longest time between two writes that were
 * acknowledged at one node, of the nodes that live.
 *
 *   node test/bench/outage.ts [--rounds 5] [--json]
 */
import { parseArgs } from 'node:util'
import { PROJECT_ROOT } from '../../topology/runtimes.ts'
import { eventually, sleep } from '../cluster/harness.ts'
import { type Datacenter, startDatacenter } from '../histories/datacenter.ts'
import type { Agent } from '../histories/processes.ts'
import { median, note, type Row, report } from './report.ts'

const SERVER_BAR_MS = 2_000
const LEADER_BAR_MS = 4_000
const CLIENTS = 4
const CALM_MS = 1_000
const WATCHED_MS = 8_000
const TIMEOUT_MS = 15_000
const PAUSE_MS = 10

export async function outage(rounds: number): Promise<Row[]> {
  const datacenter = await startDatacenter('etcd', PROJECT_ROOT)
  try {
    const servers = datacenter.agents.filter(({ isServer }) => isServer)
    const found = new Map<string, number[]>()
    const measure = async (what: string, fault: Fault): Promise<void> => {
      const { outageMs, node } = await during(datacenter, fault)
      found.set(what, [...(found.get(what) ?? []), outageMs])
      note(`${what}: ${outageMs.toFixed(0)} ms at ${node}`)
    }
    for (let round = 0; round < rounds; round++) {
      const server = servers[round % servers.length]!
      await measure('server', { gone: server, begin: () => server.kill(), end: async () => server.start() })
      const leader = await eventually('a leader of etcd', () => datacenter.etcd!.leader())
      await measure('leader', { begin: () => leader.kill(), end: () => leader.start() })
      const next = await eventually('a leader of etcd', () => datacenter.etcd!.leader())
      const signal = (name: NodeJS.Signals) => async (): Promise<void> => next.signal(name)
      await measure('stopped', { begin: signal('SIGSTOP'), end: signal('SIGCONT') })
    }
    return [
      row('writes unavailable after a server is killed', found.get('server')!, SERVER_BAR_MS),
      row("writes unavailable after etcd's leader is killed", found.get('leader')!, LEADER_BAR_MS),
      row("writes unavailable after etcd's leader is stopped", found.get('stopped')!, undefined),
    ]
  } finally {
    await datacenter.end()
  }
}

function row(what: string, outagesMs: readonly number[], barMs: number | undefined): Row {
  const worst = Math.max(...outagesMs)
  return {
    what,
    measured: `at most ${worst.toFixed(0)} ms in ${outagesMs.length} rounds, median ${median(outagesMs).toFixed(0)} ms`,
    bar: barMs === undefined ? '' : `< ${barMs} ms`,
    met: barMs === undefined ? undefined : worst < barMs,
  }
}

interface Fault {
  /** A node that takes no writes then. */
  readonly gone?: Agent
  begin(): Promise<void>
  end(): Promise<void>
}

async function during(
  { agents }: Datacenter,
  { gone, begin, end }: Fault,
): Promise<{ outageMs: number; node: string }> {
  await Promise.all(agents.map((agent) => agent.ready()))
  const over = new AbortController()
  const alive = agents.filter((agent) => agent !== gone)
  const writing = alive.map(async (agent) => ({ node: agent.name, outageMs: await longestGap(agent, over.signal) }))
  await sleep(CALM_MS)
  await begin()
  await sleep(WATCHED_MS)
  over.abort()
  const outages = await Promise.all(writing)
  await end()
  return outages.reduce((worst, each) => (each.outageMs > worst.outageMs ? each : worst))
}

/** The longest time without an acknowledgement until the signal; what is under way by then counts too. */
async function longestGap(agent: Agent, over: AbortSignal): Promise<number> {
  let lastMs = performance.now()
  let longestMs = 0
  const acknowledged = (): void => {
    const nowMs = performance.now()
    longestMs = Math.max(longestMs, nowMs - lastMs)
    lastMs = nowMs
  }
  const write = async (client: number): Promise<void> => {
    for (let i = 0; !over.aborted; i++) {
      const signal = AbortSignal.timeout(TIMEOUT_MS)
      const url = `${agent.url}/v1/kv/outage/${agent.name}/${client}`
      const answer = await fetch(url, { method: 'PUT', body: String(i), signal }).catch(() => undefined)
      if (answer?.ok && (await answer.text().catch(() => '')) === 'true') acknowledged()
      else await answer?.body?.cancel()
      await sleep(PAUSE_MS)
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, (_, client) => write(client)))
  // One that never came back to life is an outage to its end.
  return Math.max(longestMs, performance.now() - lastMs)
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } }, strict: false })
  await report(() => outage(Number(values.rounds)))
}
