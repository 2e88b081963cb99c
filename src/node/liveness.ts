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
  readonly federation: Pick<Federation, 'call' | 'handle' | 'onOwnPeer'>
  readonly datacenter: string
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
  readonly facts: KnownFacts
}

export const RENEW = 'node.renew'

/** What nodes last told of themselves, by their ids. Those that were silent for longest are forgotten first. */
export class KnownFacts {
  readonly #facts = new Map<string, NodeFacts>()
  readonly #max: number

  constructor(max = 10_000) {
    this.#max = max
  }

  get(nodeId: string): NodeFacts | undefined {
    return this.#facts.get(nodeId)
  }

  note(nodeId: string, facts: NodeFacts): void {
    this.#facts.delete(nodeId)
    this.#facts.set(nodeId, facts)
    if (this.#facts.size > this.#max) this.#facts.delete(this.#facts.keys().next().value!)
  }
}

/** Runtime and version are shown, not judged: anything longer is cut. */
const MAX_FACT = 64
const factOf = (value: unknown): string => (typeof value === 'string' ? value.slice(0, MAX_FACT) : '')

const isRegistered = (view: CatalogView, { nodeId, node }: LivenessFacts): boolean => view.node(node)?.id === nodeId

/** Serves the clients of this server, and renews its own lease. */
export function serverHeartbeat(options: ServerLivenessOptions): Heartbeat {
  const { federation, liveness, view, facts, self, datacenter } = options
  const renew = async (from: LivenessFacts): Promise<Renewal> => {
    facts.note(from.nodeId, { runtime: from.runtime, version: from.version })
    await liveness.alive(from.nodeId, from.node, from.bootId)
    return { server: self.bootId, registered: isRegistered(view, from) }
  }
  // Whose life it is, its certificate says.
  federation.handle(RENEW, async (payload, { peer }) => {
    const from = (payload ?? {}) as { readonly [K in keyof LivenessFacts]?: unknown }
    if (peer.datacenter !== datacenter || from.nodeId !== peer.nodeId || from.node !== peer.node) {
      const who = `${peer.node} of ${peer.datacenter}`
      throw new AtollError('forbidden', `node: ${who} may not speak for ${factOf(from.node)} of ${datacenter}`, {
        field: 'node',
      })
    }
    const { nodeId, node, bootId } = peer
    return await renew({ nodeId, node, bootId, runtime: factOf(from.runtime), version: factOf(from.version) })
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

/**
 * Tells a server of the DC that this client lives: the same one for as long as it is connected, as each server that hears a node
 * writes that down. At once when a server comes or goes: one that lost its connection takes the node for gone, unless another hears it.
 */
export function clientHeartbeat(options: Common): Heartbeat {
  const { federation, datacenter, self, periodMs } = options
  const servers = new Set<string>()
  const renew = async (): Promise<Renewal> => {
    const [peerId] = servers
    if (peerId !== undefined) {
      try {
        return renewalOf(await federation.call({ peerId }, RENEW, self, { deadlineMs: periodMs / 2 }))
      } catch {
        // It is asked last from now on.
        if (servers.delete(peerId)) servers.add(peerId)
      }
    }
    return renewalOf(await federation.call({ datacenter }, RENEW, self, { deadlineMs: periodMs }))
  }
  const heartbeat = startHeartbeat({ ...options, renew })
  const stopListening = federation.onOwnPeer(({ type, peer }) => {
    if (peer.role !== 'server') return
    if (type === 'up') servers.add(peer.peerId)
    else servers.delete(peer.peerId)
    heartbeat.now()
  })
  return {
    now: () => heartbeat.now(),
    stop: () => {
      stopListening()
      heartbeat.stop()
    },
  }
}

function renewalOf(answer: unknown): Renewal {
  const { server, registered } = (answer ?? {}) as Partial<Renewal>
  if (typeof server === 'string' && typeof registered === 'boolean') return { server, registered }
  throw new AtollError('unavailable', 'a server answered a sign of life in words that this node does not know')
}
