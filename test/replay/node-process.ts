/** An Atoll node in a process of its own, on the runtime that runs this. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
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
}

/** Generous: test machines are busy. */
const START_TIMEOUT_MS = 60_000

/** Ready once its own node is in its catalog. */
export async function startNodeProcess({ datacenter, node, join }: NodeProcessOptions): Promise<NodeProcess> {
  const [http, libp2p] = await freePorts(2)
  const args = ['agent', '--dev', '--dc', datacenter, '--node', node, '--node-meta', 'env=test']
  args.push('--http-port', String(http), '--port', String(libp2p), '--log-level', 'error')
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
  return { http: http!, libp2p: libp2p!, process: child, stop }
}

/** What has to stand before the script on Deno; Node and Bun need nothing. */
const runtimeArguments = (): string[] => ('Deno' in globalThis ? ['run', '-A'] : [])

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer().once('error', reject)
          server.listen(0, '127.0.0.1', () => resolve(server))
        }),
    ),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** The nodes that a scenario needs: two joined ones where it has two datacenters. */
export async function startScenario(datacenters: 1 | 2): Promise<Record<string, NodeProcess>> {
  const dc1 = await startNodeProcess({ datacenter: 'dc1', node: 'n1' })
  if (datacenters === 1) return { dc1 }
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
