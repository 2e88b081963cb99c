/** An Atoll node in a process of its own, on the runtime that runs this. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from '../../topology/free-ports.ts'
import type { Scenario } from './recording.ts'
import type { Agent } from './replay.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

export interface NodeProcess extends Agent {
  readonly process: ChildProcess
  stop(): Promise<void>
}

export interface NodeProcessOptions {
  readonly datacenter: string
  readonly node: string
  readonly join?: string
  /** The `dns` part of the configuration. */
  readonly dns?: object
}

/** Generous: test machines are busy. */
const START_TIMEOUT_MS = 60_000

/** Ready once its own node is in its catalog. */
export async function startNodeProcess({ datacenter, node, join, dns }: NodeProcessOptions): Promise<NodeProcess> {
  const [http, libp2p, dnsPort] = await freePorts(3)
  const folder = await mkdtemp(joinPath(tmpdir(), 'atoll-replay-'))
  const config = joinPath(folder, 'config.json')
  await writeFile(config, JSON.stringify({ dns: dns ?? {} }))
  const args = ['agent', '--dev', '--dc', datacenter, '--node', node, '--node-meta', 'env=test']
  args.push('--http-port', String(http), '--port', String(libp2p), '--dns-port', String(dnsPort))
  args.push('--log-level', 'error', '--config', config)
  if (join) args.push('--join', join)
  const child = spawn(process.execPath, [...runtimeArguments(), 'src/main.ts', ...args], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exited
    await rm(folder, { recursive: true, force: true })
  }
  const url = `http://127.0.0.1:${http}/v1/catalog/service/consul`
  const deadline = performance.now() + START_TIMEOUT_MS
  for (;;) {
    const answer = await fetch(url).catch(() => undefined)
    if (answer?.ok && ((await answer.json()) as unknown[]).length > 0) break
    if (child.exitCode !== null || performance.now() > deadline) {
      await stop()
      throw new Error(`the node did not start: ${output}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return { http: http!, libp2p: libp2p!, dns: dnsPort!, process: child, stop }
}

/** What has to stand before the script on Deno; Node and Bun need nothing. */
const runtimeArguments = (): string[] => ('Deno' in globalThis ? ['run', '-A'] : [])

/** How the agents of the recordings of DNS were set up, in Atoll's words. */
const DNS_SETTINGS: Partial<Record<Scenario, object>> = {
  dns: { domains: ['consul'] },
  'dns-options': {
    domains: ['atoll.test', 'alt.test'],
    onlyPassing: true,
    ttlSeconds: { node: 5, service: { '*': 10, 'web*': 20, web: 30 } },
    addressLimit: 3,
    nodeMetaTxt: false,
    soa: { refreshSeconds: 100, retrySeconds: 200, expireSeconds: 300, minimumSeconds: 7 },
  },
}

/** The nodes that a scenario needs: two joined ones where it has two datacenters. */
export async function startScenario(scenario: Scenario): Promise<Record<string, NodeProcess>> {
  const dc1 = await startNodeProcess({ datacenter: 'dc1', node: 'n1', dns: DNS_SETTINGS[scenario] })
  if (scenario !== 'multi-dc') return { dc1 }
  const dc2 = await startNodeProcess({ datacenter: 'dc2', node: 'm1', join: `127.0.0.1:${dc1.libp2p}` })
  const known = async (http: number): Promise<number> => {
    const answer = await fetch(`http://127.0.0.1:${http}/v1/catalog/datacenters`)
    return ((await answer.json()) as unknown[]).length
  }
  const replicated = async (http: number, of: string): Promise<boolean> =>
    (await fetch(`http://127.0.0.1:${http}/v1/catalog/service/consul?dc=${of}`)).ok
  const deadline = performance.now() + START_TIMEOUT_MS
  while (
    (await known(dc1.http)) < 2 ||
    (await known(dc2.http)) < 2 ||
    !(await replicated(dc1.http, 'dc2')) ||
    !(await replicated(dc2.http, 'dc1'))
  ) {
    if (performance.now() > deadline) throw new Error('the datacenters did not find each other')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return { dc1, dc2 }
}
