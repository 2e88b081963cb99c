/**
 * Many client nodes in one process, as far as their server notices: libp2p, greeting, signs of life, one registered service
 * each, distances, summaries. Says as JSON lines what all of them have reached; ends when standard input closes.
 *
 *   node test/bench/clients/child.ts <first> <count> <server multiaddr> <mesh>
 */
import { createInterface } from 'node:readline'
import { openFederation } from '../../../src/federation/open.ts'
import { devAuthority } from '../../../src/federation/transport/authority.ts'
import { openHost } from '../../../src/federation/transport/host.ts'
import { freshIdentity } from '../../../src/federation/transport/identity.ts'
import type { NodeEntry } from '../../../src/model/entries.ts'
import { AtollError } from '../../../src/model/errors.ts'
import { NodeDistance } from '../../../src/node/distance.ts'
import { clientHeartbeat } from '../../../src/node/liveness.ts'
import { followSummaries } from '../../../src/resolver/summaries/follow.ts'
import { SummaryMirror } from '../../../src/resolver/summaries/mirror.ts'
import { systemClock as clock } from '../../../src/runtime/clock.ts'
import { silentLogger as logger } from '../../../src/runtime/logger.ts'
import { systemRandom as random } from '../../../src/runtime/random.ts'

const [first = '0', count = '1', server = '', mesh = ''] = process.argv.slice(2)
const DATACENTER = 'eu-1'
const RENEW_MS = 2_000
/** Handshakes at once in this process: more would only time out together where the machine is busy. */
const AT_ONCE = 3
const TELL_MS = 1_000
const SERVICES = 100

const say = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`)
const mirrors: SummaryMirror[] = []
/** How many mirrors hold what the parent waits for. */
let awaited = ''
const holders = new Set<SummaryMirror>()
let registered = 0

function noteChange(mirror: SummaryMirror): void {
  if (awaited === '' || holders.has(mirror) || !mirror.summary(DATACENTER, awaited)) return
  holders.add(mirror)
  if (holders.size === mirrors.length) say({ event: 'all-know', service: awaited })
}

async function startClient(i: number): Promise<void> {
  const node = `client-${i}`
  const nodeId = random.uuid()
  const host = await openHost({
    identity: freshIdentity(random),
    authority: devAuthority(mesh),
    self: { datacenter: DATACENTER, node, nodeId, role: 'client' },
    listen: { host: '127.0.0.1', port: 0 },
    clock,
    random,
    logger,
  })
  const federation = await openFederation({ host, clock, random, logger, joinAddresses: [server] })
  await connected(federation)
  await register(federation, node, nodeId, i)
  registered++
  const self = { nodeId, node, bootId: random.uuid(), runtime: 'node', version: '0' }
  clientHeartbeat({
    federation,
    datacenter: DATACENTER,
    clock,
    random,
    logger,
    periodMs: RENEW_MS,
    self,
    onServerChanged: () => {},
  })
  // A thousand nodes that visit each other would all do so on this machine: that is not their server's cost.
  const visit = () => Promise.reject(new AtollError('unavailable', 'not here'))
  const { addresses, peerId } = federation
  new NodeDistance({
    federation: {
      addresses,
      peerId,
      visit,
      peers: () => federation.peers(),
      roundTripMs: (id) => federation.roundTripMs(id),
      call: (...args) => federation.call(...args),
      handle: (...args) => federation.handle(...args),
      onOwnPeer: (listener) => federation.onOwnPeer(listener),
    },
    datacenter: DATACENTER,
    self,
    clock,
    random,
    logger,
  })
  const mirror = new SummaryMirror()
  mirrors.push(mirror)
  followSummaries({ federation, datacenter: DATACENTER, mirror, clock, random, onChanged: () => noteChange(mirror) })
}

type Federation = Awaited<ReturnType<typeof openFederation>>

async function connected(federation: Federation): Promise<void> {
  while (!federation.peers().some((peer) => peer.role === 'server')) await clock.sleep(20)
}

async function register(federation: Federation, node: string, id: string, i: number): Promise<void> {
  const entry: NodeEntry = { id, node, address: '127.0.0.1', taggedAddresses: null, meta: null, owner: 'agent' }
  const service = `svc-${i % SERVICES}`
  const command = {
    kind: 'agent-sync',
    node: entry,
    services: [
      {
        node,
        id: service,
        service,
        kind: '',
        tags: ['v1'],
        address: '',
        taggedAddresses: null,
        meta: null,
        port: 8_000,
        socketPath: '',
        weights: { passing: 1, warning: 1 },
        enableTagOverride: false,
        proxy: null,
        connect: null,
        owner: 'agent',
      },
    ],
    checks: [],
    removeServices: [],
    removeChecks: [],
    complete: true,
  }
  const message = { command, datacenter: DATACENTER, token: '', requestId: random.uuid(), hops: 1 }
  // As an agent does it: under the same request id until it is done.
  for (;;) {
    const done = federation.call({ datacenter: DATACENTER }, 'mesh.execute', message, { deadlineMs: 20_000 })
    if (await done.then(() => true).catch(() => false)) return
    await clock.sleep(500)
  }
}

const lines = createInterface({ input: process.stdin })
lines.on('line', (line) => {
  awaited = line.trim()
  holders.clear()
  for (const mirror of mirrors) noteChange(mirror)
})
lines.on('close', () => process.exit(0))

const numbers = Array.from({ length: Number(count) }, (_, i) => Number(first) + i)
const telling = clock.every(TELL_MS, () => say({ event: 'registered', count: registered }))
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let next = numbers.shift(); next !== undefined; next = numbers.shift()) await startClient(next)
  }),
)
telling.cancel()
say({ event: 'registered', count: registered })
