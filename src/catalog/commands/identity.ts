import { type NodeEntry, SERF_HEALTH } from '../../model/entries.ts'
import { AtollError } from '../../model/errors.ts'
import { keyPart, keys } from '../../model/keys.ts'
import type { Compare } from '../../store/store.ts'
import type { Tables } from '../tables.ts'
import { modIs } from './plan.ts'

export interface Claim {
  /** The node that had this id under another name: it goes away. */
  readonly renamed: string | undefined
  readonly if: readonly Compare[]
}

/**
 * Whether a node may have its name and id: a name that another id holds is free once that one's lease has lapsed and its
 * serfHealth says so; one without an id may be taken over, but not by renaming.
 */
export function claim(tables: Tables, entry: NodeEntry): Claim {
  if (entry.id === '') return { renamed: undefined, if: [] }
  const held = tables.registry.nodeById(entry.id)
  const renamed = held && keyPart(held.node) !== keyPart(entry.node) ? held.node : undefined
  const state = tables.registry.nodeStates.get(keyPart(entry.node))
  const holder = state?.row
  if (!holder || holder.id.toLowerCase() === entry.id.toLowerCase()) return { renamed, if: [] }
  const refuse = (): never => {
    throw new AtollError(
      'conflict',
      `Node name ${entry.node} is reserved by node ${holder.id} with name ${holder.node} (${holder.address})`,
      { field: 'Node' },
    )
  }
  if (holder.id === '') return renamed === undefined ? { renamed, if: [] } : refuse()
  const health = state.checks.get(keyPart(SERF_HEALTH))
  if (tables.signals.leases.has(keyPart(holder.id)) || health?.row?.status !== 'critical') refuse()
  return {
    renamed,
    if: [
      { key: keys.lease(holder.id), target: 'create', op: '=', to: 0 },
      modIs(`e/c/${state.part}/${health!.part}`, tables.revisionOf(health!.entryIndex)),
    ],
  }
}
