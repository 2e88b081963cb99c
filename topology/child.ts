/**
 * One node of a mesh as a process of its own. Its settings are the first line on standard input, later lines change
 * its links; it says `ready` on standard output and ends when standard input closes.
 */
import type { ConfigInput } from '../src/config.ts'
import { startNode } from '../src/node.ts'
import { messageOf } from './errors.ts'
import { DialledLinks } from './links.ts'
import type { NodeOrder, NodeSettings } from './messages.ts'
import { receiveOrders, report } from './orders.ts'
import { watchStalls } from './stalls.ts'
import { wan } from './wan.ts'

/** An orderly stop may take so long; then the process ends anyway. */
const STOP_MS = 2500

type Node = Awaited<ReturnType<typeof startNode>>
let links: DialledLinks | undefined
let starting: Promise<Node> | undefined

const configOf = (settings: NodeSettings): ConfigInput => ({
  preset: 'dev',
  server: settings.role === 'server',
  datacenter: settings.datacenter,
  node: settings.name,
  nodeMeta: { runtime: settings.runtime },
  dataDirectory: settings.dataDirectory,
  ...(settings.managed && { store: { url: 'etcd:managed', managed: settings.managed } }),
  http: { host: settings.host, port: settings.httpPort },
  dns: { host: settings.host, port: settings.dnsPort },
  federation: {
    host: settings.host,
    port: settings.libp2pPort,
    join: [...settings.join],
    mesh: settings.mesh,
    flatNetwork: settings.flatNetwork,
  },
  log: { level: settings.logLevel, format: 'text' },
})

/** Deno and Bun name Node's version beside their own. */
const runtimeVersion = (): string => process.versions.deno ?? process.versions.bun ?? process.versions.node

function obey(order: NodeOrder): void {
  if (order.type === 'start') {
    links = new DialledLinks(order.view)
    void start(order.node, links)
  } else {
    links?.update(order.view)
    report({ topology: 'done', sequence: order.sequence })
  }
}

async function start(settings: NodeSettings, table: DialledLinks): Promise<void> {
  try {
    starting = startNode(configOf(settings), { wrapTransport: (factory) => wan(factory, table.to) })
    const node = await starting
    report({ topology: 'ready', peerId: node.peerId, addresses: node.addresses, version: runtimeVersion() })
    // It left, or cannot go on.
    node.ended.then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(messageOf(error))
        process.exit(1)
      },
    )
  } catch (error) {
    report({ topology: 'failed', message: messageOf(error) })
    console.error(error)
    // Long enough for the report to be written.
    setTimeout(() => process.exit(1), 100)
  }
}

watchStalls(({ endedWallMs, ms }) => {
  report({ topology: 'stalled', endedWallMs, ms })
  console.error(`the event loop stood still for ${ms} ms`)
})

async function end(): Promise<void> {
  setTimeout(() => process.exit(1), STOP_MS)
  const node = await starting?.catch(() => undefined)
  await node?.stop()
  process.exit(0)
}

receiveOrders<NodeOrder>(obey, () => {
  end().catch((error: unknown) => {
    console.error(error)
    process.exit(1)
  })
})
