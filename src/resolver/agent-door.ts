/** What a node's faces ask of its agent: the workloads registered with this very node, and the node itself. */

import type { Status } from '../model/entries.ts'
import type { LocalCheck, LocalCheckDefinition, LocalServiceDefinition } from '../model/local.ts'
import type { Member } from '../model/member.ts'

export type { LocalCheck, LocalCheckDefinition, LocalServiceDefinition } from '../model/local.ts'

export type { Member } from '../model/member.ts'

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
  /** `load`: how busy its service is, from 0 to 1. 'not-found' for an unknown check, 'invalid' when it has no TTL. */
  updateTtl(checkId: string, status: Status, output: string, load?: number): Promise<void>
  /** How busy a service of this node is, from 0 to 1. Throws 'invalid', or 'not-found' for an unknown id. */
  reportLoad(serviceId: string, load: number): void
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
