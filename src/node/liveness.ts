/** Signs of life of this DC's nodes: a server takes its clients' and its own to the leader's leases; a client sends them. */
import { type Heartbeat, type Renewal, startHeartbeat } from '../agent/heartbeat.ts'
import type { NodeFacts } from '../agent/members.ts'
import type { CatalogView } from '../catalog/view.ts'
import type { Federation } from '../federation/federation.ts'
import { AtollError } from '../model/errors.ts'
import type { Clock, Logger, Random } from '../runtime/ports.ts'

/** What a node says of itself with each sign of life. */
export interface LivenessFacts extends NodeFacts {
  readonly nodeId: string
  readonly node: string
  readonly bootId: string
}

/** The leader's side: leases. */
export interface Liveness {
  alive(nodeId: string, node: string, bootId: string): Promise<boolean>
  gone(nodeId: string, bootId: string): void
}

interface Common {
  readonly federation: Federation
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly periodMs: number
  readonly self: LivenessFacts
  readonly onServerChanged: () => void
}

export interface ServerLivenessOptions extends Common {
  readonly liveness: Liveness
  readonly view: CatalogView
  /** Facts of nodes by id, as last told; bounded by the nodes of the DC. */
  readonly facts: Map<string, NodeFacts>
}

const RENEW = 'node.renew'

const isRegistered = (view: CatalogView, { nodeId, node }: LivenessFacts): boolean => view.node(node)?.id === nodeId

/** Serves the clients of this server, and renews its own lease. */
export function serverHeartbeat(options: ServerLivenessOptions): Heartbeat {
  const { federation, liveness, view, facts, self } = options
  const renew = async (from: LivenessFacts): Promise<Renewal> => {
    facts.set(from.nodeId, { runtime: from.runtime, version: from.version })
    await liveness.alive(from.nodeId, from.node, from.bootId)
    return { server: self.bootId, registered: isRegistered(view, from) }
  }
  federation.handle(RENEW, async (payload, { peer }) => {
    const from = payload as LivenessFacts
    if (from.nodeId !== peer.nodeId || from.node !== peer.node) {
      throw new AtollError('forbidden', `node: ${peer.node} may not speak for ${from.node}`, { field: 'node' })
    }
    return await renew({
      ...from,
      runtime: String(from.runtime),
      version: String(from.version),
      bootId: peer.bootId,
    })
  })
  const stopListening = federation.onOwnPeer(({ type, peer }) => {
    if (type === 'down') liveness.gone(peer.nodeId, peer.bootId)
  })
  const heartbeat = startHeartbeat({ ...options, renew: () => renew(self) })
  return {
    now: () => heartbeat.now(),
    stop: () => {
      stopListening()
      heartbeat.stop()
    },
  }
}

/** Tells a server of the DC that this client lives; at once when a server comes up. */
export function clientHeartbeat(options: Common & { readonly datacenter: string }): Heartbeat {
  const { federation, datacenter, self, periodMs } = options
  const heartbeat = startHeartbeat({
    ...options,
    renew: async () => (await federation.call({ datacenter }, RENEW, self, { deadlineMs: periodMs })) as Renewal,
  })
  const stopListening = federation.onOwnPeer(({ type, peer }) => {
    if (type === 'up' && peer.role === 'server') heartbeat.now()
  })
  return {
    now: () => heartbeat.now(),
    stop: () => {
      stopListening()
      heartbeat.stop()
    },
  }
}
