/** What a node is started with, and what it is to who started it. */
import type { FileDefinition } from '../consul-config/translate.ts'
import type { TransportFactory } from '../federation/transport/tcp.ts'
import type { Logger } from '../runtime/ports.ts'

export interface NodeOptions {
  /** Puts something around the TCP transport of libp2p: an emulated WAN. */
  readonly wrapTransport?: (factory: TransportFactory) => TransportFactory
  readonly logger?: Logger
  /** The services and checks that configuration files define, read at the start and at each reload. */
  readonly readDefinitions?: () => Promise<readonly FileDefinition[]>
  /** Ends a start that waits for other servers; `startNode` then rejects with its reason. */
  readonly signal?: AbortSignal
}

export interface RunningNode {
  readonly node: string
  readonly datacenter: string
  readonly peerId: string
  /** Multiaddrs that others join by. */
  readonly addresses: readonly string[]
  readonly http: { readonly host: string; readonly port: number }
  /** Base URL of the API. */
  readonly httpAddress: string
  /** Where names are answered, by UDP and TCP; undefined where they are not. */
  readonly dns: { readonly host: string; readonly port: number } | undefined
  /**
   * Resolves once the node has ended, by `stop` or by itself (it left). Rejects with AtollError 'conflict' once it has
   * ended because its DC has another server, or another process its key.
   */
  readonly ended: Promise<void>
  /**
   * Reads the definitions in files again, and brings the registrations in line. Rejects with AtollError 'invalid',
   * naming file and field.
   */
  reload(): Promise<void>
  /** Takes this node and all that is registered with it out of the catalog, tells the mesh, and stops. */
  leave(): Promise<void>
  /** Idempotent. */
  stop(): Promise<void>
}
