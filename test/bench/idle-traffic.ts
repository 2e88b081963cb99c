/**
 * What an idle mesh costs: bytes a second that each gateway receives, at the payload of its TCP sockets. Whole nodes, each
 * with its store and catalog, in one process, over sockets on loopback.
 *
 *   node test/bench/idle-traffic.ts [--datacenters 12] [--settle 15] [--seconds 30] [--json]
 */
import { parseArgs } from 'node:util'
import { type RunningNode, startNode } from '../../src/node.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { sleep } from '../cluster/harness.ts'
import { type Row, report } from './report.ts'
import { TrafficCounter } from './traffic.ts'

const BAR_BYTES_PER_SECOND = 10_000

interface Measured {
  readonly node: RunningNode
  readonly traffic: TrafficCounter
}

export async function idleTraffic(datacenters: number, settleSeconds: number, seconds: number): Promise<Row[]> {
  const all: Measured[] = []
  try {
    for (let i = 0; i < datacenters; i++) all.push(await start(i, all[0]?.node.addresses[0]))
    await sleep(settleSeconds * 1000)
    for (const { traffic } of all) traffic.reset()
    const beganMs = performance.now()
    await sleep(seconds * 1000)
    const tookSeconds = (performance.now() - beganMs) / 1000
    return rows(
      all.map(({ traffic }) => traffic),
      tookSeconds,
    )
  } finally {
    for (const { node, traffic } of all) {
      traffic.close()
      await node.stop()
    }
  }
}

async function start(index: number, join: string | undefined): Promise<Measured> {
  const traffic = new TrafficCounter()
  const node = await startNode(
    {
      dev: true,
      preset: 'dev',
      datacenter: `dc-${index + 1}`,
      node: `server-${index + 1}`,
      http: { host: '127.0.0.1', port: 0 },
      dns: { enabled: false },
      federation: { host: '127.0.0.1', port: 0, join: join === undefined ? [] : [join] },
    },
    { logger: silentLogger, wrapTransport: traffic.wrap },
  )
  return { node, traffic }
}

function rows(all: readonly TrafficCounter[], seconds: number): Row[] {
  const rates = all.map(({ received }) => received / seconds)
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length
  const largest = Math.max(...rates)
  const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(2)} KB/s`
  const protocols = new Set(all.flatMap(({ byProtocol }) => [...byProtocol.keys()]))
  const kinds = [...protocols].map((protocol) => {
    const bytes = all.reduce((sum, { byProtocol }) => sum + (byProtocol.get(protocol) ?? 0), 0) / all.length / seconds
    return { what: `of that, payload of ${protocol}`, measured: kilobytes(bytes), bar: '', met: undefined }
  })
  const payload = all.reduce((sum, { byProtocol }) => sum + [...byProtocol.values()].reduce((a, b) => a + b, 0), 0)
  return [
    {
      what: `idle mesh of ${all.length} datacenters, received by a gateway`,
      measured: `mean ${kilobytes(mean)}, largest ${kilobytes(largest)}`,
      bar: `< ${BAR_BYTES_PER_SECOND / 1000} KB/s`,
      met: largest < BAR_BYTES_PER_SECOND,
    },
    ...kinds,
    {
      what: 'of that, Noise and Yamux',
      measured: kilobytes(mean - payload / all.length / seconds),
      bar: '',
      met: undefined,
    },
  ]
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      datacenters: { type: 'string', default: '12' },
      settle: { type: 'string', default: '15' },
      seconds: { type: 'string', default: '30' },
      json: { type: 'boolean' },
    },
  })
  await report(() => idleTraffic(Number(values.datacenters), Number(values.settle), Number(values.seconds)))
  // libp2p keeps timers of its own for a while.
  process.exit()
}
