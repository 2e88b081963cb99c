/**
 * One server as a process, for the benchmark of repair: started by its first line on standard input; `watched` says how its event
 * loop fared since the last time. Ends when standard input closes.
 */
import { startNode } from '../../../src/node.ts'
import { LineSplitter, parseLine } from '../../../topology/json-lines.ts'
import { type WanLink, wan } from '../../../topology/wan.ts'
import { fill } from './fill.ts'
import { watchLoop } from './watch.ts'

export interface NodeSettings {
  readonly datacenter: string
  readonly dataDirectory: string
  readonly httpPort: number
  readonly libp2pPort: number
  readonly join: readonly string[]
  /** Instances that its store holds before it starts; 0 for none. */
  readonly instances: number
  /** Of all connections that it dials. */
  readonly link: WanLink
}

const say = (event: Record<string, unknown>): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

async function start({ datacenter, dataDirectory, httpPort, libp2pPort, join, instances, link }: NodeSettings) {
  if (instances > 0) await fill(`${dataDirectory}/store`, instances)
  say({ event: 'filled' })
  const watched = watchLoop()
  const beganMs = performance.now()
  const node = await startNode(
    {
      server: true,
      datacenter,
      node: `${datacenter}-server`,
      dataDirectory,
      http: { port: httpPort },
      dns: { port: 0 },
      federation: { port: libp2pPort, join: [...join] },
      log: { level: 'warn', format: 'text' },
    },
    { wrapTransport: (factory) => wan(factory, () => link) },
  )
  say({ event: 'ready', tookMs: performance.now() - beganMs, address: node.addresses[0] })
  return { node, watched }
}

let running: ReturnType<typeof start> | undefined
const lines = new LineSplitter((line) => {
  const order = parseLine(line) as { start: NodeSettings } | { ask: 'watched' } | undefined
  if (order === undefined) return
  if ('start' in order) {
    running = start(order.start)
    running.catch((error: unknown) => {
      say({ event: 'failed', error: String(error) })
      setTimeout(() => process.exit(1), 100)
    })
  } else void running?.then(({ watched }) => say({ event: 'watched', ...watched() }))
})
process.stdin.on('data', (chunk: Uint8Array) => lines.push(chunk))
process.stdin.on('end', () => {
  setTimeout(() => process.exit(0), 5000)
  void running?.then(({ node }) => node.stop()).finally(() => process.exit(0))
})
