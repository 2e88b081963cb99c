import { create } from '@bufbuild/protobuf'
import type { Cluster } from './cluster.ts'
import type { ByteRange, KeySpace } from './key-space.ts'
import { deleteOp } from './messages.ts'
import { KV, RangeRequestSchema, type RequestOp } from './proto/etcd_pb.js'

export interface Orphan {
  readonly process: string
  /** To be done only while the process is not there. */
  readonly removal: RequestOp
}

/** Processes that have slots and are not there any more. */
export async function orphansOf(cluster: Cluster, keys: KeySpace): Promise<Orphan[]> {
  const processesIn = async (range: ByteRange): Promise<Set<string>> => {
    const request = create(RangeRequestSchema, { ...range, keysOnly: true })
    const { kvs } = await cluster.ask(KV.method.range, request, 'the processes that use it')
    return new Set(kvs.map((kv) => keys.processIn(kv.key)))
  }
  const withSlots = await processesIn(keys.slots)
  const present = await processesIn(keys.processes)
  const gone = [...withSlots].filter((process) => !present.has(process))
  return gone.map((process) => ({ process, removal: deleteOp(keys.slotsOf(process)) }))
}
