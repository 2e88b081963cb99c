/** The workloads that a node's own agent knows of: services and checks as they were registered with it. */
import type { CheckDefinition, Locality, ServiceAddress, Status, Weights } from './entries.ts'

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
  /** A configuration file of the node defines it, and removes it when it no longer does. */
  readonly fromFile?: boolean
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
  readonly locality?: Locality
  /** As for checks. */
  readonly fromFile?: boolean
  readonly checks: readonly LocalCheckDefinition[]
}

export interface LocalCheck {
  readonly definition: LocalCheckDefinition
  readonly status: Status
  readonly output: string
  readonly serviceName: string
  readonly serviceTags: readonly string[]
}
