/** What commands that read have in common. */
import type { Meta } from '../client/client.ts'
import { type Flags, type FlagValues, UsageError } from './command.ts'
import { formatMs, type Paint, printable } from './style.ts'

export const DC_FLAG = {
  dc: { type: 'string', value: 'name', purpose: "datacenter to ask; the asked node's own unless given" },
} as const satisfies Flags

export const CONSISTENCY_FLAGS = {
  stale: { type: 'boolean', purpose: 'take what the node has, at once' },
  consistent: { type: 'boolean', purpose: 'ask the datacenter itself, however far it is' },
} as const satisfies Flags

type ReadFlags = FlagValues<typeof DC_FLAG & typeof CONSISTENCY_FLAGS>

export function readOptions(name: string, { dc, stale, consistent }: ReadFlags) {
  if (stale && consistent) throw new UsageError('--stale and --consistent exclude each other', name)
  return { stale, consistent, ...(dc === undefined ? {} : { dc }) }
}

const agePart = (ageMs: number | undefined): string => {
  if (ageMs === undefined || ageMs === 0) return ''
  return ageMs === Number.POSITIVE_INFINITY ? ', nobody can tell how old' : `, ${formatMs(ageMs)} old`
}

/** One line: who answered, how fresh that is, and whether it failed over. */
export function describeOrigin(meta: Meta, asked: string | undefined, paint: Paint): string | undefined {
  const { datacenter, source, ageMs, failover } = meta
  if (datacenter === undefined) return undefined
  const from = printable(datacenter)
  const age = agePart(ageMs)
  if (failover) {
    const reason = asked === 'nearest' ? '' : `: nothing passes in ${printable(failover.from)}`
    return paint('warn', `failed over from ${printable(failover.from)} to ${printable(failover.to)}${reason}${age}`)
  }
  if (asked === '*') return paint('dim', 'answered for all datacenters, each as fresh as its AGE says')
  const how = {
    catalog: `answered from the catalog of ${from}${age || ', up to date'}`,
    replica: `answered here from the replica of ${from}${age || ', up to date'}`,
    rpc: `answered by ${from} itself${age || ', up to date'}`,
    kept: `no server of ${from} can be reached: what this node was told before${age}`,
    summary: `no server of ${from} can be reached: the best few instances of each service${age}`,
  }
  const tone = source === 'kept' || source === 'summary' ? 'warn' : 'dim'
  return paint(tone, source === undefined ? `answered by ${from}${age}` : how[source])
}
