/** The file in which a member of etcd keeps its data: how large it is, and making it smaller. */
import { create } from '@bufbuild/protobuf'
import type { Cluster } from './cluster.ts'
import { DefragmentRequestSchema, Maintenance, StatusRequestSchema, type StatusResponse } from './proto/etcd_pb.js'

/** Rewriting the file of a member takes about a second for each 100 MB. */
const DEFRAGMENT_MS = 120_000
const CALL_MS = 5_000

/** As the member itself has it, whether or not there is a majority. Rejects with CallError. */
export function statusOf(cluster: Cluster, member: number, timeoutMs = CALL_MS): Promise<StatusResponse> {
  return cluster.call(Maintenance.method.status, create(StatusRequestSchema), { member, timeoutMs, proves: false })
}

/** It answers nothing meanwhile: one member at a time. Returns the bytes gained. Rejects with CallError. */
export async function rewriteFile(cluster: Cluster, member: number): Promise<number> {
  // How much is free it does not tell rightly before it writes again, which it may refuse.
  const before = await statusOf(cluster, member)
  const options = { member, timeoutMs: DEFRAGMENT_MS, proves: false }
  await cluster.call(Maintenance.method.defragment, create(DefragmentRequestSchema), options)
  const after = await statusOf(cluster, member)
  return Math.max(0, Number(before.dbSize - after.dbSize))
}
