/** What the launcher and its children tell each other: one JSON object a line, child's standard input and output. */
import type { LinkView } from './links.ts'
import type { NodeRole } from './plan.ts'

/** To a node: the first line starts it, later ones change its links. */
export type NodeOrder =
  | { readonly type: 'start'; readonly node: NodeSettings; readonly view: LinkView }
  | { readonly type: 'links'; readonly sequence: number; readonly view: LinkView }

export interface NodeSettings {
  readonly name: string
  readonly datacenter: string
  readonly role: NodeRole
  readonly mesh: string
  readonly runtime: string
  readonly flatNetwork: boolean
  readonly host: string
  readonly httpPort: number
  readonly libp2pPort: number
  readonly dnsPort: number
  readonly dataDirectory: string
  /** Of a server that runs a member of etcd. The ports are for its first start; from then on it keeps what it got. */
  readonly managed?: { readonly servers: number; readonly clientPort: number; readonly peerPort: number }
  readonly join: readonly string[]
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error'
}

/** To a process of sample backends. */
export type BackendOrder =
  | {
      readonly type: 'start'
      readonly datacenter: string
      readonly host: string
      readonly instances: readonly BackendInstance[]
    }
  | {
      readonly type: 'services'
      readonly sequence: number
      readonly service: string | undefined
      readonly running: boolean
    }

export interface BackendInstance {
  readonly id: string
  readonly service: string
  readonly port: number
}

/** From a child. `topology` marks the line as meant for the launcher; others on the same pipe are log lines. */
export type ChildReport =
  | {
      readonly topology: 'ready'
      readonly peerId?: string
      readonly addresses?: readonly string[]
      /** Of the runtime. */
      readonly version?: string
    }
  | { readonly topology: 'failed'; readonly message: string }
  /** Its event loop stood still (stalls.ts). */
  | { readonly topology: 'stalled'; readonly endedWallMs: number; readonly ms: number }
  | { readonly topology: 'done'; readonly sequence: number; readonly error?: string }
