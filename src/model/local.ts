/** The workloads that a node's own agent knows of: services and checks as they were registered with it. */
import type { CheckDefinition, Locality, ServiceAddress, Status, Weights } from './entries.ts'

export interface CheckTls {
  /** Accept any certificate. */
  readonly skipVerify: boolean
  /** Name to ask for and to verify; '' for the host. */
  readonly serverName: string
}

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
    readonly disableRedirects?: boolean | undefined
  }
  readonly tcp?: { readonly host: string; readonly port: number; readonly tls?: CheckTls | undefined }
  readonly udp?: { readonly host: string; readonly port: number }
  /** The health service of gRPC; `service` '' asks for the whole server. */
  readonly grpc?: {
    readonly host: string
    readonly port: number
    readonly service: string
    readonly tls?: CheckTls | undefined
  }
  readonly h2ping?: { readonly host: string; readonly port: number; readonly tls?: CheckTls | undefined }
  /** A program and its arguments; no shell is involved. */
  readonly script?: { readonly args: readonly string[] }
  readonly docker?: { readonly containerId: string; readonly args: readonly string[] }
  /** A unit of systemd. */
  readonly osService?: { readonly name: string }
  /** As healthy as a service ('' : only the node) on a node ('' : this one). */
  readonly alias?: { readonly node: string; readonly serviceId: string }
  readonly ttlMs?: number
  readonly intervalMs: number
  readonly timeoutMs: number
  /** Consecutive successes until passing, failures until critical; at least 1 each (0 in Consul means 1). */
  readonly successBeforePassing: number
  readonly failuresBeforeCritical: number
  /** From so many on it is a warning; as `failuresBeforeCritical` unless given. */
  readonly failuresBeforeWarning?: number | undefined
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
  /** How busy it is, as the catalog shows it; it is no part of a registration. */
  readonly load?: number
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
