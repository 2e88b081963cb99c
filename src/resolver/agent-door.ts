/** What a node's faces ask of its agent: the workloads registered with this very node, and the node itself. */
import type { CheckDefinition, ServiceAddress, Status, Weights } from '../model/entries.ts'

/** A check as it was registered with the agent. Durations as given ("10s"). Exactly one kind is set. */
export interface LocalCheckDefinition {
  readonly checkId: string
  readonly name: string
  readonly notes: string
  readonly serviceId: string
  /** Status until it first ran; `critical` unless given. */
  readonly status: Status
  readonly http?: {
    readonly url: string
    readonly method: string
    readonly headers: Readonly<Record<string, readonly string[]>>
    readonly body: string
    readonly tlsSkipVerify: boolean
    readonly tlsServerName: string
  }
  readonly tcp?: { readonly host: string; readonly port: number }
  readonly ttlMs?: number
  readonly intervalMs: number
  readonly timeoutMs: number
  /** Consecutive successes until passing, failures until critical; at least 1 each (0 in Consul means 1). */
  readonly successBeforePassing: number
  readonly failuresBeforeCritical: number
  /** 0: never. At least 60,000 otherwise, as in Consul. */
  readonly deregisterCriticalServiceAfterMs: number
  readonly outputMaxBytes: number
  /** As the API shows it (Type, Definition), verbatim from the registration. */
  readonly type: string
  readonly interval: string
  readonly timeout: string
  readonly definition: CheckDefinition
}

export interface LocalServiceDefinition {
  readonly id: string
  readonly service: string
  readonly kind: string
  readonly tags: readonly string[]
  readonly address: string
  readonly taggedAddresses: Readonly<Record<string, ServiceAddress>> | null
  readonly meta: Readonly<Record<string, string>> | null
  readonly port: number
  readonly socketPath: string
  readonly weights: Weights
  readonly enableTagOverride: boolean
  readonly proxy: Readonly<Record<string, unknown>> | null
  readonly connect: Readonly<Record<string, unknown>> | null
  readonly failover?: boolean
  readonly checks: readonly LocalCheckDefinition[]
}

export interface LocalCheck {
  readonly definition: LocalCheckDefinition
  readonly status: Status
  readonly output: string
  readonly serviceName: string
  readonly serviceTags: readonly string[]
}

export interface Member {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly datacenter: string
  readonly role: 'server' | 'client'
  readonly status: 'alive' | 'failed' | 'left'
  readonly id: string
  readonly peerId: string
  readonly runtime: string
  readonly version: string
}

export interface AgentSelf {
  readonly nodeId: string
  readonly node: string
  readonly datacenter: string
  readonly server: boolean
  readonly version: string
  readonly runtime: string
  readonly address: string
  readonly taggedAddresses: Readonly<Record<string, string>>
  readonly meta: Readonly<Record<string, string>>
  readonly peerId: string
  /** Multiaddrs that others join by. */
  readonly addresses: readonly string[]
  readonly ports: { readonly http: number; readonly libp2p: number }
}

export interface AgentDoor {
  self(): AgentSelf
  services(): readonly LocalServiceDefinition[]
  service(id: string): LocalServiceDefinition | undefined
  checks(): readonly LocalCheck[]
  /** Kept on disk, then sent to the catalog; resolves when it is there, or after a second when no server answers (it follows later). Rejects with 'conflict' or 'invalid'. */
  registerService(definition: LocalServiceDefinition, options: { replaceExistingChecks: boolean }): Promise<void>
  /** 'not-found' for an unknown id. */
  deregisterService(id: string): Promise<void>
  /** 'invalid' when its service is not registered here. */
  registerCheck(definition: LocalCheckDefinition): Promise<void>
  deregisterCheck(checkId: string): Promise<void>
  /** 'not-found' for an unknown check, 'invalid' when it has no TTL. */
  updateTtl(checkId: string, status: Status, output: string): Promise<void>
  setServiceMaintenance(id: string, enable: boolean, reason: string): Promise<void>
  setNodeMaintenance(enable: boolean, reason: string): Promise<void>
  /** `wan`: servers of all DCs; otherwise all nodes of this DC. */
  members(options: { wan: boolean }): Promise<readonly Member[]>
  /** Multiaddrs, or host:port. Resolves with how many were joined; rejects when none was. */
  join(addresses: readonly string[]): Promise<number>
  /** Deregisters this node and ends the process in an orderly way (resolves before it ends). */
  leave(): Promise<void>
  /** Declares a failed node left: it is deregistered. 'not-found' for an unknown node. */
  forceLeave(node: string): Promise<void>
  /** Reloads what can be reloaded of the configuration. */
  reload(): Promise<void>
}
