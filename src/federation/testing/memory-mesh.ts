/** A mesh of whole federations on a memory network and a virtual clock. */
import type { Logger } from '../../runtime/ports.ts'
import { SeededRandom, VirtualClock } from '../../runtime/virtual.ts'
import type { Federation } from '../federation.ts'
import type { PeerIdentity, Role } from '../host.ts'
import { type FederationOptions, openFederation } from '../open.ts'
import type { MemoryHost } from './memory-host.ts'
import { MemoryNetwork, type MemoryNetworkOptions } from './memory-network.ts'
import { MemorySink, MemorySource } from './memory-source.ts'

export interface MemoryNode {
  readonly datacenter: string
  readonly host: MemoryHost
  readonly federation: Federation
  readonly source: MemorySource
  readonly sinks: Map<string, MemorySink>
  /** As a process that was killed. */
  kill(): void
}

export interface StartOptions extends Partial<FederationOptions> {
  readonly node?: string
  readonly role?: Role
  readonly source?: MemorySource
  readonly datacenterId?: string
  /** Nodes whose addresses are joined. */
  readonly join?: readonly MemoryNode[]
}

const silent: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silent,
}

export class MemoryMesh {
  readonly clock = new VirtualClock()
  readonly random: SeededRandom
  readonly network: MemoryNetwork
  readonly #nodes: MemoryNode[] = []
  logger: Logger = silent

  constructor(seed = 1, options: Partial<MemoryNetworkOptions> = {}) {
    this.random = new SeededRandom(seed)
    this.network = new MemoryNetwork({ ...options, clock: this.clock, random: this.random })
  }

  async start(datacenter: string, options: StartOptions = {}): Promise<MemoryNode> {
    const { role = 'server', node = `${datacenter}-1`, join = [], datacenterId = `id-${datacenter}`, ...rest } = options
    const identity: PeerIdentity = {
      peerId: `peer-${node}`,
      datacenter,
      datacenterId,
      node,
      nodeId: `node-${node}`,
      role,
    }
    const host = this.network.host(identity)
    const source = options.source ?? new MemorySource()
    const sinks = new Map<string, MemorySink>()
    const sinkFor = (name: string): MemorySink => {
      const sink = new MemorySink()
      sinks.set(name, sink)
      return sink
    }
    const opening = openFederation({
      host,
      clock: this.clock,
      random: this.random,
      logger: this.logger,
      sinkFor,
      joinAddresses: join.map((other) => other.host.addresses[0]!),
      ...rest,
      ...(role === 'server' ? { source } : { source: undefined }),
    })
    const federation = await this.settle(opening)
    const kill = (): void => {
      this.network.remove(host)
      void federation.close()
    }
    const started = { datacenter, host, federation, source, sinks, kill }
    this.#nodes.push(started)
    return started
  }

  /** One server for each name, all of which join the first. */
  async startAll(...datacenters: string[]): Promise<MemoryNode[]> {
    const nodes: MemoryNode[] = []
    for (const name of datacenters) nodes.push(await this.start(name, { join: nodes.slice(0, 1) }))
    return nodes
  }

  /** Lets time pass until the promise settles. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    let done = false
    const mark = (): void => {
      done = true
    }
    promise.then(mark, mark)
    while (!done) await this.clock.advance(1)
    return promise
  }

  /** Lets time pass until the condition holds; the milliseconds that it took. */
  async until(condition: () => boolean, withinMs = 30_000): Promise<number> {
    const startMs = this.clock.nowMs()
    await this.clock.advance(0)
    while (!condition()) {
      if (this.clock.nowMs() - startMs > withinMs) throw new Error(`not within ${withinMs} ms`)
      await this.clock.advance(1)
    }
    return this.clock.nowMs() - startMs
  }

  async close(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => this.settle(node.federation.close())))
  }
}
