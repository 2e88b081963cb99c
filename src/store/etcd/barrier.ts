import { create } from '@bufbuild/protobuf'
import type { Cluster } from './cluster.ts'
import type { KeySpace } from './key-space.ts'
import {
  KV,
  type RangeRequest,
  RangeRequestSchema,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
} from './proto/etcd_pb.js'
import { Rounds } from './rounds.ts'
import type { WatchHub } from './watches.ts'

export interface BarrierOptions {
  readonly cluster: Cluster
  readonly keys: KeySpace
  readonly hub: WatchHub
  /** The highest revision that this process has heard of. */
  readonly known: () => number
  /** etcd is at a revision that is over here: it was restored from a backup. Resolves once the hub has begun anew. */
  readonly onWentBack: (revision: number) => Promise<void>
}

/**
 * The linearizable read behind which all reads of a process line up: of the slots' highest mod revision, as every transaction
 * writes one.
 */
export class Barrier {
  readonly #o: BarrierOptions
  readonly #request: RangeRequest
  readonly #rounds = new Rounds(() => this.#ask())

  constructor(options: BarrierOptions) {
    this.#o = options
    this.#request = create(RangeRequestSchema, {
      ...options.keys.slots,
      sortOrder: SortOrder.DESCEND,
      sortTarget: SortTarget.MOD,
      limit: 1n,
      keysOnly: true,
    })
  }

  /**
   * Resolves with the last revision that watches were shown, once they have reached all that happened before the call. The same
   * promise for all who come at the same moment.
   */
  join(): Promise<number> {
    return this.#rounds.join()
  }

  async #ask(): Promise<number> {
    const { cluster, hub, known, onWentBack } = this.#o
    const before = known()
    const { kvs, header } = await cluster.ask(KV.method.range, this.#request, 'a linearizable read')
    const revision = Number(header!.revision)
    if (revision < before && before <= known()) await onWentBack(revision)
    const behind = hub.reach(Number(kvs[0]?.modRevision ?? 0n))
    if (behind) await behind
    return hub.shown
  }
}
