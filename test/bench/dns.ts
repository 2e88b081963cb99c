/**
 * DNS: answers a second by dnsperf on each runtime; look-ups of another datacenter's name at 80 ms; look-ups while a
 * datacenter's last instance fails over; and what HAProxy loses while its instances are replaced one by one.
 *
 *   node test/bench/dns.ts [rate remote failover haproxy] [--seconds 5] [--json]
 *
 * Needs dnsperf and, for `haproxy`, haproxy (Debian's packages).
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { freePorts } from '../../topology/free-ports.ts'
import { commandLine, PROJECT_ROOT } from '../../topology/runtimes.ts'
import { RUNTIMES, type RuntimeName } from '../../topology/schema.ts'
import { eventually, sleep, type TestMesh } from '../cluster/harness.ts'
import { type Backend, startBackend } from '../peers/backends.ts'
import { pathOf } from '../peers/process.ts'
import { PEERS } from '../peers/programs.ts'
import type { DnsLoad, DnsLoadResult } from './dns/load.ts'
import { DATACENTERS, RUNTIME_OF, startBenchMesh } from './mesh.ts'
import { note, quantile, type Row, report, spread } from './report.ts'

const INSTANCES = 10
const BEST_PER_SECOND = 30_000
const EACH_PER_SECOND = 20_000
const P99_MS = 5
const PER_SECOND = 500

function output(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, [...args], { maxBuffer: 1 << 26 }, (error, stdout) => (error ? reject(error) : resolve(stdout)))
  })
}

// ---- answers a second

async function rate(seconds: number): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-dns-'))
  const rows: Row[] = []
  try {
    for (const runtime of RUNTIMES) {
      for (const type of ['A', 'SRV']) {
        const file = join(folder, `${type}.txt`)
        await writeFile(file, `web.service.consul ${type}\n`)
      }
      const node = await startNode(runtime)
      try {
        for (const type of ['A', 'SRV'])
          rows.push(rowOf(runtime, type, await measure(node.dns, join(folder, `${type}.txt`), seconds)))
      } finally {
        await node.stop()
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  const best = Math.max(...rows.map(({ measured }) => Number(/^\d+/.exec(measured)![0])))
  return [
    ...rows,
    {
      what: 'DNS answers a second, the best runtime',
      measured: `${best}`,
      bar: `${BEST_PER_SECOND}`,
      met: best >= BEST_PER_SECOND,
    },
  ]
}

interface Measured {
  readonly perSecond: number
  readonly lost: number
  readonly sent: number
}

/** The median of three, after one that warms up. */
async function measure(port: number, file: string, seconds: number): Promise<Measured> {
  const results: Measured[] = []
  for (let round = 0; round < 4; round++) {
    const args = ['-s', '127.0.0.1', '-p', String(port), '-d', file, '-l', String(seconds), '-c', '8', '-q', '200']
    const text = await output(pathOf('dnsperf')!, args)
    const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN)
    if (!/NOERROR \d+ \(100\.00%\)/.test(text)) throw new Error(text)
    const result = {
      perSecond: number(/Queries per second:\s+([\d.]+)/),
      lost: number(/Queries lost:\s+(\d+)/),
      sent: number(/Queries sent:\s+(\d+)/),
    }
    note(`${result.perSecond.toFixed(0)}/s, ${result.lost} of ${result.sent} lost`)
    if (round > 0) results.push(result)
  }
  return results.sort((a, b) => a.perSecond - b.perSecond)[1]!
}

const rowOf = (runtime: string, type: string, { perSecond, lost, sent }: Measured): Row => ({
  what: `DNS answers a second, ${INSTANCES} instances, ${type}, by dnsperf: ${runtime}`,
  measured: `${perSecond.toFixed(0)} (${lost} of ${sent} lost)`,
  bar: `${EACH_PER_SECOND}`,
  met: perSecond >= EACH_PER_SECOND,
})

async function startNode(runtime: RuntimeName): Promise<{ dns: number; stop(): Promise<void> }> {
  const [http, libp2p, dns] = await freePorts(3)
  const ports = ['--http-port', http, '--port', libp2p, '--dns-port', dns].map(String)
  const [file, ...rest] = commandLine(runtime, 'src/main.ts', ['agent', '--dev', '--node', 'bench', ...ports])
  const child = spawn(file!, rest, { cwd: PROJECT_ROOT, stdio: 'ignore' })
  const url = `http://127.0.0.1:${http}/v1`
  await eventually('the node is up', async () => (await fetch(`${url}/status/leader`)).ok, 20_000)
  for (let i = 0; i < INSTANCES; i++) await register(url, `host-${i}`, `10.0.0.${i + 1}`, 'web')
  return {
    dns: dns!,
    async stop() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

async function register(
  url: string,
  node: string,
  address: string,
  service: string,
  status = 'passing',
): Promise<void> {
  const Check = { CheckID: service, Name: 'alive', Status: status, ServiceID: service }
  const body = { Node: node, Address: address, Service: { ID: service, Service: service, Port: 8080 }, Check }
  const answer = await fetch(`${url}/catalog/register`, { method: 'PUT', body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(`register: ${answer.status} ${await answer.text()}`)
}

// ---- another datacenter

async function runLoad(load: DnsLoad): Promise<DnsLoadResult> {
  const script = fileURLToPath(new URL('dns/load.ts', import.meta.url))
  return JSON.parse(await output(process.execPath, [script, JSON.stringify(load)])) as DnsLoadResult
}

const dnsPort = (mesh: TestMesh, node: string): number => mesh.local.node(node).plan.dnsPort

async function remote(seconds: number): Promise<Row[]> {
  const mesh = await startBenchMesh({ name: 'bench-dns' })
  try {
    for (const dc of DATACENTERS) {
      const url = `${mesh.local.url(`${dc}-server`)}/v1`
      for (let i = 0; i < INSTANCES; i++) await register(url, `host-${i}`, `10.0.0.${i + 1}`, 'web')
    }
    const rows: Row[] = []
    for (const role of ['server', 'client']) {
      for (const [i, dc] of DATACENTERS.entries()) {
        const about = DATACENTERS[(i + 1) % DATACENTERS.length]
        const load = {
          port: dnsPort(mesh, `${dc}-${role}`),
          name: `web.service.${about}.consul`,
          type: 'A' as const,
          perSecond: PER_SECOND,
        }
        await eventually(
          'it is answered',
          async () => (await runLoad({ ...load, perSecond: 10, seconds: 1 })).negative === 0,
        )
        await runLoad({ ...load, seconds: 2 })
        const result = await runLoad({ ...load, seconds })
        note(
          `${role} on ${RUNTIME_OF[dc]}: ${spread(result.latenciesMs)}; sent late by p99 ${result.lateP99Ms.toFixed(2)} ms`,
        )
        const failed = result.negative + result.unanswered
        rows.push({
          what: `name of a remote DC at 80 ms, ${PER_SECOND}/s: ${role} on ${RUNTIME_OF[dc]}`,
          measured: `${spread(result.latenciesMs)}, ${failed} failed`,
          bar: `p99 < ${P99_MS} ms`,
          met: quantile(result.latenciesMs, 0.99) < P99_MS && failed === 0,
        })
      }
    }
    return rows
  } finally {
    await mesh.stop()
  }
}

// ---- failover

async function failover(): Promise<Row[]> {
  const mesh = await startBenchMesh({ name: 'bench-dns-failover', clients: 1 })
  try {
    const url = (dc: string): string => `${mesh.local.url(`${dc}-server`)}/v1`
    for (const dc of DATACENTERS)
      await register(url(dc), 'host', `10.0.${dc.length}.${DATACENTERS.indexOf(dc) + 1}`, 'web')
    const rows: Row[] = []
    for (const node of ['eu-1-server', 'eu-1-client', 'us-1-server', 'ap-1-server']) {
      const dc = node.slice(0, 4)
      const load = { port: dnsPort(mesh, node), name: 'web.service.consul', type: 'A' as const, perSecond: PER_SECOND }
      await eventually(
        'it is answered',
        async () => (await runLoad({ ...load, perSecond: 10, seconds: 1 })).negative === 0,
      )
      const running = runLoad({ ...load, seconds: 6 })
      await sleep(2_500)
      await register(url(dc), 'host', `10.0.4.${DATACENTERS.indexOf(dc as never) + 1}`, 'web', 'critical')
      const { negative, unanswered, latenciesMs } = await running
      await register(url(dc), 'host', `10.0.4.${DATACENTERS.indexOf(dc as never) + 1}`, 'web')
      rows.push({
        what: `look-ups that failed while the last instance of a DC failed over, ${PER_SECOND}/s: ${node}`,
        measured: `${negative} negative, ${unanswered} unanswered of ${PER_SECOND * 6}; ${spread(latenciesMs)}`,
        bar: '0',
        met: negative + unanswered === 0,
      })
    }
    return rows
  } finally {
    await mesh.stop()
  }
}

// ---- HAProxy

const REPLACEMENTS = 10
/** HAProxy asks each second, and keeps what is gone for one more. */
const DRAIN_MS = 3_000

async function haproxy(): Promise<Row[]> {
  const mesh = await startBenchMesh({ name: 'bench-haproxy', clients: 0 })
  const folder = await mkdtemp(join(tmpdir(), 'atoll-haproxy-'))
  const backends: Backend[] = []
  try {
    const [webPort, grpcPort, ...ports] = await freePorts(7)
    const { dnsPort, httpPort } = mesh.local.node('eu-1-server').plan
    const place = { folder, dnsPort, httpPort, webPort: webPort!, grpcPort: grpcPort!, ports: ports as never }
    const agent = (path: string, body?: object) => mesh.send('eu-1-server', 'PUT', `/v1/agent/service/${path}`, body)
    const add = async (i: number): Promise<void> => {
      const address = `127.0.15.${i + 1}`
      backends[i] = await startBackend(`web-${i}`, address, place.webPort, place.grpcPort)
      const Check = { HTTP: `http://${address}:${place.webPort}/health`, Interval: '500ms', Status: 'passing' }
      await agent('register', { ID: `web-${i}`, Name: 'web', Address: address, Port: place.webPort, Check })
    }
    for (let i = 0; i < 3; i++) await add(i)
    const peer = await PEERS.haproxy!(place)
    await eventually('HAProxy answers', async () => (await peer.ask()).startsWith('web-'), 15_000)
    const load = { over: false, lost: 0, answered: 0 }
    const loading = Array.from({ length: 4 }, async () => {
      while (!load.over) {
        await peer.ask().then(
          () => load.answered++,
          () => load.lost++,
        )
      }
    })
    for (let i = 3; i < 3 + REPLACEMENTS; i++) {
      await add(i)
      await agent(`deregister/web-${i - 3}`)
      await sleep(DRAIN_MS)
      await backends[i - 3]!.stop()
    }
    load.over = true
    await Promise.all(loading)
    await peer.stop()
    const unused = backends.slice(3).filter(({ hits }) => hits === 0).length
    return [
      {
        what: `requests lost by HAProxy while ${REPLACEMENTS} instances are replaced one by one`,
        measured: `${load.lost} of ${load.lost + load.answered}; ${unused} of the new ones got none`,
        bar: '0',
        met: load.lost === 0 && unused === 0,
      },
    ]
  } finally {
    await Promise.all(backends.map((backend) => backend.stop()))
    await mesh.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

const PARTS = { rate, remote, failover, haproxy } as const
type Part = keyof typeof PARTS

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '5' } },
  allowPositionals: true,
  strict: false,
})
const parts = (positionals.length > 0 ? positionals : Object.keys(PARTS)) as Part[]
await report(async () => {
  const rows: Row[] = []
  for (const part of parts) rows.push(...(await PARTS[part](Number(values.seconds))))
  return rows
})
