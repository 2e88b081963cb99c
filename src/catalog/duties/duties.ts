import type { Clock, Logger, Random } from '../../runtime/ports.ts'
import type { Compare, Store } from '../../store/store.ts'
import type { LeaderRecord } from '../codec.ts'
import type { OpenCatalog } from '../open.ts'
import { Lapses } from './lapses.ts'
import { Leadership } from './leadership.ts'
import { Reaper } from './reaper.ts'
import { Returns } from './returns.ts'
import { SessionEnds } from './sessions.ts'

export type { LeaderRecord } from '../codec.ts'

export interface DutiesOptions {
  readonly store: Store
  readonly catalog: OpenCatalog
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** `serverId` stays over restarts (the node's id). */
  readonly self: Omit<LeaderRecord, 'bootId'>
  /** Term of the nodes' leases, in ms. Default 8,000. */
  readonly leaseMs?: number
  /** Term of the leader's own lease: another server takes over after it and a quarter, at the latest. Default 3,000. */
  readonly leaderLeaseMs?: number
  /** Default 0.3. */
  readonly maxShare?: number
  /** Default 10,000. */
  readonly failoverSteadyMs?: number
  /** Default 72 hours. */
  readonly reapNodesAfterMs?: number
  /** Default 10 minutes. */
  readonly keepRequestsMs?: number
  /** Default: 10 minutes on etcd; an embedded store bounds its history by itself. */
  readonly keepHistoryMs?: number
  readonly onLeading?: (leading: boolean) => void
}

export interface Duties {
  /** Whether this server leads its datacenter. */
  readonly leading: boolean
  /** Who does, as the tables have it. */
  leader(): LeaderRecord | undefined
  close(): Promise<void>
}

const HOUR_MS = 3_600_000

/** Stands for leader, and does while it leads what needs one doer: lapses of nodes, returns of services, removals. */
export function startDuties(options: DutiesOptions): Duties {
  const { store, catalog, clock, logger, random } = options
  const leaseMs = options.leaseMs ?? 8000
  const reapNodesAfterMs = options.reapNodesAfterMs ?? 72 * HOUR_MS
  const keepHistoryMs = options.keepHistoryMs ?? (store.status().driver === 'etcd' ? HOUR_MS / 6 : undefined)
  const begin = (guard: Compare): { close(): void }[] => {
    const common = { store, catalog, clock, logger, guard }
    return [
      new Lapses({ ...common, leaseMs, maxShare: options.maxShare ?? 0.3 }),
      new SessionEnds({ ...common, leaseMs, maxShare: options.maxShare ?? 0.3 }),
      new Returns({ ...common, steadyMs: options.failoverSteadyMs ?? 10_000, forgetMs: reapNodesAfterMs }),
      new Reaper({ ...common, reapNodesAfterMs, keepRequestsMs: options.keepRequestsMs ?? HOUR_MS / 6, keepHistoryMs }),
    ]
  }
  let running: { close(): void }[] = []
  const leadership = new Leadership({
    store,
    tables: catalog.view,
    clock,
    logger,
    self: { ...options.self, bootId: random.uuid() },
    leaseMs: options.leaderLeaseMs ?? 3000,
    onTerm: (guard) => {
      for (const duty of running) duty.close()
      running = guard ? begin(guard) : []
      options.onLeading?.(guard !== undefined)
    },
  })
  return {
    get leading() {
      return leadership.leading
    },
    leader: () => catalog.view.signals.leader,
    close: () => leadership.close(),
  }
}
