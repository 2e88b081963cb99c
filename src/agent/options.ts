import type { AgentSync } from '../model/sync.ts'
import type { Clock, Disk, Logger, Random } from '../runtime/ports.ts'
import type { CheckProbes } from '../runtime/probes.ts'
import type { ReadNode } from './checks/kinds.ts'

/** The node whose agent this is, as its catalog entry will show it. */
export interface AgentNode {
  /** UUID. */
  readonly id: string
  readonly node: string
  readonly address: string
  readonly taggedAddresses: Readonly<Record<string, string>> | null
  readonly meta: Readonly<Record<string, string>> | null
}

/** What an agent asks of its datacenter; a part of the catalog's commands. */
export type AgentCommand = AgentSync | { readonly kind: 'deregister'; readonly node: string }

/**
 * Brings a command to the datacenter's servers. Rejects with AtollError; the agent stops waiting when `signal` aborts,
 * whether it was heeded or not. `more`: see CommandResult of the catalog.
 */
export type ExecuteAgentCommand = (
  command: AgentCommand,
  options: { readonly signal: AbortSignal },
) => Promise<{ readonly more?: boolean }>

export type Scripts = 'off' | 'local' | 'on'

export interface AgentLimits {
  /** Services registered with this agent. */
  readonly services: number
  /** Checks of services and of the node. */
  readonly checks: number
  /** Registrations and the like that wait for the disk; more get 'overloaded'. */
  readonly pendingChanges: number
  /** Checks that run at once; those that hang may take half of it. */
  readonly concurrentChecks: number
  /** Bytes of one service with its checks, as JSON. */
  readonly definitionBytes: number
}

export const DEFAULT_AGENT_LIMITS: AgentLimits = {
  services: 4096,
  checks: 8192,
  pendingChanges: 1024,
  concurrentChecks: 128,
  definitionBytes: 256 * 1024,
}

export interface AgentOptions {
  readonly node: AgentNode
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly logger: Logger
  readonly probes: CheckProbes
  /** What the catalog knows of another node, for aliases. */
  readonly readNode: ReadNode
  /** Who may have commands run as checks: nobody, the node's files, or the API too. `off` unless given. */
  readonly scripts?: Scripts
  /** The agent's own folder; made if need be. undefined: nothing is kept across restarts. */
  readonly dataDirectory?: string | undefined
  readonly execute: ExecuteAgentCommand
  readonly limits?: Partial<AgentLimits>
  /** Period of the full sync, jittered by a tenth. Default 60,000. */
  readonly syncIntervalMs?: number
  /** What is kept of an output where a check does not say. Default 4,096. */
  readonly outputMaxBytes?: number
  /** About how long a change of a check's output alone is held back. Default 300,000; 0: not at all. */
  readonly checkUpdateIntervalMs?: number
  /** How long a registration waits for the catalog. Default 1,000. */
  readonly acknowledgeWaitMs?: number
  /** Deadline of one command to the servers. Default 10,000. */
  readonly commandTimeoutMs?: number
}
