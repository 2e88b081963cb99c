import type { Status } from '../../model/entries.ts'
import { worseOf, worstStatus } from '../../model/health.ts'
import { keyPart } from '../../model/keys.ts'
import { settled } from '../tables/states.ts'
import { type Draft, groupOf } from './draft.ts'

/** What drafts do to one service. */
export interface ServiceTally {
  /** As it is spelled. */
  name: string
  /** Change in the number of passing instances, and of instances. */
  passing: number
  instances: number
  /** Some instance that passed does not any more. */
  lowered: boolean
  /** Something of which its index was the maximum goes away. */
  lost: boolean
}

/** By parts of services' names. */
export type Tally = Map<string, ServiceTally>

export function tallyOf(drafts: readonly Draft[]): Tally {
  const tally: Tally = new Map()
  for (const draft of drafts) count(draft, tally)
  return tally
}

function count(draft: Draft, tally: Tally): void {
  const removed = draft.node === null
  const before = draft.state ? settled(draft.state, '').status : 'passing'
  const after = removed ? 'critical' : statusOf(draft, '')
  const lostNodeCheck = loses(draft, '')
  const affected =
    removed || before !== after || lostNodeCheck || (draft.state !== undefined && !draft.state.row)
      ? new Set([...(draft.state?.services.keys() ?? []), ...draft.services.keys()])
      : touched(draft)
  for (const part of affected) countEntry(draft, part, after, lostNodeCheck || loses(draft, part), tally)
}

function countEntry(draft: Draft, part: string, ofNode: Status, lostCheck: boolean, tally: Tally): void {
  const was = draft.state?.services.get(part)
  const will = draft.node === null ? undefined : draft.service(part)
  const passes = will !== undefined && worseOf(ofNode, statusOf(draft, part)) === 'passing'
  const stays = was && will && was.service.part === keyPart(will.service)
  if (was) {
    const of = at(tally, was.service.part, was.row.service)
    of.instances--
    if (was.status === 'passing') {
      of.passing--
      if (!stays || !passes) of.lowered = true
    }
    if (!stays || lostCheck) of.lost = true
  }
  if (will) {
    const of = at(tally, keyPart(will.service), will.service)
    of.instances++
    if (passes) of.passing++
  }
}

function at(tally: Tally, part: string, name: string): ServiceTally {
  let of = tally.get(part)
  if (!of) {
    of = { name, passing: 0, instances: 0, lowered: false, lost: false }
    tally.set(part, of)
  }
  return of
}

/** Services of which the draft holds the entry or a check. */
function touched(draft: Draft): Set<string> {
  const parts = new Set(draft.services.keys())
  for (const [part, check] of draft.checks) {
    const was = draft.state?.checks.get(part)
    if (was?.row) parts.add(was.group)
    if (check) parts.add(groupOf(check))
  }
  parts.delete('')
  return parts
}

/** Whether a check leaves the group: it is removed, or belongs to another from now on. */
function loses(draft: Draft, group: string): boolean {
  for (const [part, check] of draft.checks) {
    const was = draft.state?.checks.get(part)
    if (was?.row && was.group === group && (!check || groupOf(check) !== group)) return true
  }
  return false
}

/** Worst of the group's checks as they will be. */
function statusOf(draft: Draft, group: string): Status {
  if (draft.checks.size === 0) return draft.state ? settled(draft.state, group).status : 'passing'
  return worstStatus([...draft.checksOf(group)].map((part) => draft.check(part)!))
}
