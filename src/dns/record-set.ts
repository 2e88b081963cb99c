/** The answer to a name and type, encoded as far as it is the same for all who ask: kept until what it shows changes. */
import { RCODE } from './query.ts'
import type { Rest } from './records.ts'

/** One record of the answer, with what belongs to it. */
export interface Group {
  readonly rest: Rest
  /** Where in `rest` the name begins that `glue` and `texts` are records of. */
  readonly targetAt: number
  /** Addresses of the target. */
  readonly glue: readonly Rest[]
  /** What may be left out first. */
  readonly texts: readonly Rest[]
  /** The target, where it was registered as a name: its addresses are looked up, if it is of ours. */
  readonly name?: string
  /** How often it turns up where not all fit, and comes first, relative to the others. */
  readonly weight: number
}

/** A record whose owner is a name in the question (an offset in the message), or one of its own. */
export interface OwnedRecord {
  readonly owner: number | Uint8Array
  readonly rest: Rest
}

export interface RecordSet {
  readonly rcode: number
  /** The answer, of which a random part is sent where not all fits. */
  readonly groups: readonly Group[]
  /** Offset in the message of the name that owns the groups. */
  readonly owner: number
  /** At most so many groups; 0: no limit. */
  readonly limit: number
  /** Instead of groups: one of these CNAMEs. */
  readonly aliases: readonly { readonly rest: Rest; readonly target: string }[]
  readonly authority: readonly OwnedRecord[]
  readonly additional: readonly OwnedRecord[]
  /** Not of ours: for the recursors. */
  readonly foreign: boolean
  /** Whether the weights of the groups differ. */
  readonly weighted: boolean
  /** The groups stand in an order that is to be kept; otherwise it is a random one each time. */
  readonly ordered: boolean
  /** Whether there are groups with a `name`. */
  readonly named: boolean
  /** Of the groups' records with their owners, by what may be left out first. */
  readonly bytes: { readonly answers: number; readonly glue: number; readonly texts: number }
}

export interface RecordSetParts {
  readonly rcode?: number
  readonly groups?: readonly Group[]
  readonly owner?: number
  readonly limit?: number
  readonly aliases?: RecordSet['aliases']
  readonly authority?: readonly OwnedRecord[]
  readonly additional?: readonly OwnedRecord[]
  readonly foreign?: boolean
  readonly ordered?: boolean
}

/** A compressed owner. */
export const POINTER_BYTES = 2

export function recordSet(parts: RecordSetParts): RecordSet {
  const groups = parts.groups ?? []
  const size = (rests: readonly Rest[]): number => rests.reduce((sum, rest) => sum + POINTER_BYTES + rest.length, 0)
  return {
    rcode: parts.rcode ?? RCODE.NOERROR,
    groups,
    owner: parts.owner ?? 12,
    limit: parts.limit ?? 0,
    aliases: parts.aliases ?? [],
    authority: parts.authority ?? [],
    additional: parts.additional ?? [],
    foreign: parts.foreign ?? false,
    weighted: groups.some((group) => group.weight !== groups[0]!.weight),
    ordered: parts.ordered ?? false,
    named: groups.some((group) => group.name !== undefined),
    bytes: {
      answers: size(groups.map((group) => group.rest)),
      glue: groups.reduce((sum, group) => sum + size(group.glue), 0),
      texts: groups.reduce((sum, group) => sum + size(group.texts), 0),
    },
  }
}

export const bareGroup = (rest: Rest, weight = 1): Group => ({ rest, targetAt: 0, glue: [], texts: [], weight })

/** What a set takes in memory, about. */
export const memoryOf = (set: RecordSet): number =>
  512 + set.bytes.answers + set.bytes.glue + set.bytes.texts + 200 * (set.groups.length + set.aliases.length)
