import type { CheckEntry, NodeEntry, ServiceEntry } from '../../model/entries.ts'
import { AtollError } from '../../model/errors.ts'
import { keyPart } from '../../model/keys.ts'
import type { NodeState } from '../tables/states.ts'
import type { Tables } from '../tables.ts'
import { sameCheck, sameNode, sameOutput, sameService } from './same.ts'

/**
 * What a command makes of one node: only what differs from the tables. null stands for what is removed. Names are parts
 * of keys.
 */
export class Draft {
  readonly part: string
  readonly state: NodeState | undefined
  node: NodeEntry | null | undefined
  readonly services = new Map<string, ServiceEntry | null>()
  readonly checks = new Map<string, CheckEntry | null>()

  constructor(part: string, state: NodeState | undefined) {
    this.part = part
    this.state = state
  }

  static of(tables: Tables, node: string): Draft {
    const part = keyPart(node)
    return new Draft(part, tables.registry.nodeStates.get(part))
  }

  /** As it will be. */
  nodeEntry(): NodeEntry | undefined {
    return this.node === undefined ? this.state?.row : (this.node ?? undefined)
  }

  service(part: string): ServiceEntry | undefined {
    const drafted = this.services.get(part)
    return drafted === undefined ? this.state?.services.get(part)?.row : (drafted ?? undefined)
  }

  check(part: string): CheckEntry | undefined {
    const drafted = this.checks.get(part)
    return drafted === undefined ? this.state?.checks.get(part)?.row : (drafted ?? undefined)
  }

  /** Writes nothing when it is equal; another owner alone is a change only when an agent takes over. */
  putNode(entry: NodeEntry): void {
    const stored = this.state?.row
    if (!stored || !sameNode(stored, entry) || takesOver(stored, entry)) this.node = entry
  }

  putService(entry: ServiceEntry): void {
    const id = entry.id === '' ? entry.service : entry.id
    const wanted = { ...entry, id, node: this.nodeEntry()?.node ?? entry.node }
    const part = keyPart(id)
    const stored = this.state?.services.get(part)?.row
    if (stored && sameService(stored, wanted) && !takesOver(stored, wanted)) this.services.delete(part)
    else this.services.set(part, wanted)
  }

  /** With the name and tags of its service, which must be there. */
  putCheck(entry: CheckEntry): void {
    const node = this.nodeEntry()?.node ?? entry.node
    const checkId = entry.checkId === '' ? entry.name : entry.checkId
    const service = entry.serviceId === '' ? undefined : this.service(keyPart(entry.serviceId))
    if (entry.serviceId !== '' && !service) {
      throw new AtollError(
        'invalid',
        `failed inserting check: Missing service registration on node ${JSON.stringify(node)}`,
        { field: 'Check.ServiceID' },
      )
    }
    const wanted: CheckEntry = {
      ...entry,
      node,
      checkId,
      serviceId: service ? service.id : '',
      serviceName: service ? service.service : '',
      serviceTags: service ? service.tags : [],
    }
    const part = keyPart(checkId)
    const stored = this.state?.checks.get(part)?.row
    const same = stored && sameCheck(stored, wanted) && sameOutput(stored, wanted) && !takesOver(stored, wanted)
    if (same) this.checks.delete(part)
    else this.checks.set(part, wanted)
  }

  /** With its checks. */
  removeService(part: string): void {
    for (const check of this.checksOf(part)) this.removeCheck(check)
    if (this.state?.services.has(part)) this.services.set(part, null)
    else this.services.delete(part)
  }

  removeCheck(part: string): void {
    if (this.state?.checks.get(part)?.row) this.checks.set(part, null)
    else this.checks.delete(part)
  }

  /** The node and all that is on it. */
  removeAll(): void {
    this.node = null
    this.services.clear()
    this.checks.clear()
  }

  /** Parts of the checks of a service ('' for the node's own), as they will be. */
  *checksOf(service: string): Iterable<string> {
    for (const check of this.state?.groups.get(service)?.members ?? []) {
      if (!this.checks.has(check.part)) yield check.part
    }
    for (const [part, check] of this.checks) if (check && groupOf(check) === service) yield part
  }

  /** A draft of about half of the changes, those that others rest on first; undefined when there is nothing to divide. */
  half(): Draft | undefined {
    const units = this.services.size + this.checks.size
    if (this.node === null || units < 2) return undefined
    let left = Math.ceil(units / 2)
    const half = new Draft(this.part, this.state)
    half.node = this.node
    const puts = <T>(map: ReadonlyMap<string, T | null>) => [...map].filter(([, entry]) => entry !== null)
    const removals = <T>(map: ReadonlyMap<string, T | null>) => [...map].filter(([, entry]) => entry === null)
    for (const [part, entry] of puts(this.services)) if (left-- > 0) half.services.set(part, entry)
    for (const [part, entry] of puts(this.checks)) if (left-- > 0) half.checks.set(part, entry)
    for (const [part, entry] of removals(this.checks)) if (left-- > 0) half.checks.set(part, entry)
    for (const [part, entry] of removals(this.services)) if (left-- > 0) half.services.set(part, entry)
    return half
  }
}

export const groupOf = (check: { readonly serviceId: string }): string =>
  check.serviceId === '' ? '' : keyPart(check.serviceId)

/** An agent registers what the catalog API had registered; the other way round the entry stays the agent's. */
const takesOver = (stored: { readonly owner: string }, wanted: { readonly owner: string }): boolean =>
  wanted.owner === 'agent' && stored.owner !== 'agent'
