/**
 * Stands in for a node in tests of the launcher: obeys orders like `child.ts`, and answers just enough HTTP. A node
 * whose name contains `broken` prints two lines and ends; one with `failing` reports why it cannot start; one with
 * `slow` does not end by itself.
 */
import { createServer } from 'node:http'
import type { LinkView } from '../links.ts'
import type { NodeOrder, NodeSettings } from '../messages.ts'
import { receiveOrders, report } from '../orders.ts'

const name = process.argv.at(-1) ?? ''
let view: LinkView | undefined
const registered = new Map<string, { name: string; port: number }>()

function start(settings: NodeSettings): void {
  if (settings.name.includes('broken')) {
    console.error('first line of what went wrong')
    console.error('Error: the disk is made of cheese')
    process.exit(7)
  }
  if (settings.name.includes('failing')) {
    report({ topology: 'failed', message: 'dataDirectory: is made of cheese' })
    process.exit(1)
  }
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://node')
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      if (pathname === '/v1/agent/service/register') {
        const { ID, Name, Port } = JSON.parse(Buffer.concat(chunks).toString('utf8'))
        registered.set(ID, { name: Name, port: Port })
      }
      response.end(JSON.stringify(answerOf(pathname, settings)))
    })
  })
  server.listen(settings.httpPort, settings.host, () => {
    const address = `/ip4/${settings.host}/tcp/${settings.libp2pPort}/p2p/12D3KooWFake${settings.name}`
    report({ topology: 'ready', peerId: `12D3KooWFake${settings.name}`, addresses: [address], version: '1.2.3' })
  })
}

function answerOf(path: string, settings: NodeSettings): unknown {
  if (path === '/settings') return settings
  if (path === '/view') return view
  if (path === '/registered') return [...registered.keys()]
  if (path === '/v1/mesh') {
    const links = view?.links.filter((row) => row.between.includes(settings.datacenter)) ?? []
    const datacenters = links.map((row) => ({
      Datacenter: row.between.find((name) => name !== settings.datacenter),
      State: 'live',
      Reachable: !row.cut,
      RoundTripMs: row.rttMs + 0.4,
    }))
    return { Datacenters: datacenters }
  }
  // Whatever was registered anywhere: the tests only count.
  if (path.startsWith('/v1/health/service/')) return [{}, {}]
  return ''
}

receiveOrders<NodeOrder>(
  (order) => {
    view = order.view
    if (order.type === 'start') start(order.node)
    else report({ topology: 'done', sequence: order.sequence })
  },
  () => {
    if (!name.includes('slow')) process.exit(0)
    // Too busy to end.
    setInterval(() => {}, 1000)
  },
)
