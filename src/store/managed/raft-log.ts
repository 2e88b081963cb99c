/**
 * What a member that was made the only one must forget before others join it. `--force-new-cluster` takes entries off the raft log
 * whose commit had not reached the disk, and which the data may have already. Who joins replays that log, has less than the
 * first, and from then on the same transactions come to different outcomes on the two; etcd does not notice. A member whose
 * log does not reach back so far is sent the data themselves.
 */
import { create } from '@bufbuild/protobuf'
import type { Clock } from '../../runtime/ports.ts'
import { CallError } from '../etcd/call-error.ts'
import type { Cluster } from '../etcd/cluster.ts'
import { deleteOp } from '../etcd/messages.ts'
import { KV, TxnRequestSchema } from '../etcd/proto/etcd_pb.js'

/** etcd keeps so many entries behind each snapshot of its own (DefaultSnapshotCatchUpEntries; 3.4 has no flag for it). */
const KEPT_ENTRIES = 5_000
/** `--snapshot-count` while this goes on: after so many entries it takes one, and forgets what is older than those that it keeps. */
export const SNAPSHOT_COUNT = KEPT_ENTRIES + 500
/** Where its last snapshot stands is not known: with two of them, one is far enough behind the beginning. */
const ENTRIES = 2 * (SNAPSHOT_COUNT + 1) + 200
const AT_ONCE = 256
const PAUSE_MS = 100

/** Deletes what is not there, which is an entry of the log and changes nothing, not even the revision. Rejects when `signal` aborts. */
export async function forgetLog(cluster: Cluster, clock: Clock, signal: AbortSignal): Promise<void> {
  const request = create(TxnRequestSchema, { success: [deleteOp({ key: Uint8Array.of(0) })] })
  let left = ENTRIES
  const one = async (): Promise<void> => {
    while (left > 0) {
      signal.throwIfAborted()
      left--
      try {
        // Its own member: there is no other.
        await cluster.call(KV.method.txn, request, { member: 0 })
      } catch (error) {
        if (!(error instanceof CallError)) throw error
        left++
        await clock.sleep(PAUSE_MS, signal)
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
}
