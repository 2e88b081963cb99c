import { create } from '@bufbuild/protobuf'
import { CallError } from './call-error.ts'
import type { MappedTxn } from './messages.ts'
import { RequestOpSchema, type TxnRequest, TxnRequestSchema, type TxnResponse } from './proto/etcd_pb.js'

/** Sends one request to etcd. Rejects with CallError. */
export type Send = (request: TxnRequest, timeoutMs: number) => Promise<TxnResponse>

/** Batches under way at once: who comes meanwhile goes with the next. */
const MAX_UNDER_WAY = 4
const MAX_TOGETHER = 32
/** Operations in each list of a transaction that goes with others: etcd counts them with those of the batch. */
const MAX_OPERATIONS = 32
const MAX_BYTES = 256 * 1024

/** What a transaction looks at and what it writes, as keys. */
interface Footprint {
  readonly reads: readonly string[]
  readonly writes: readonly string[]
  readonly bytes: number
}

interface Waiting extends Footprint {
  readonly request: TxnRequest
  readonly timeoutMs: number
  readonly resolve: (response: TxnResponse) => void
  readonly reject: (error: unknown) => void
}

/**
 * Transactions that are asked for at the same moment and have nothing to do with each other go to etcd as one, each with its
 * compares, branches and slot: a call costs far more than what it carries. etcd judges the compares of all of them by the state
 * before, so none may write what another looks at or writes.
 */
export class Batches {
  readonly #send: Send
  #waiting: Waiting[] = []
  #underWay = 0
  #scheduled = false

  constructor(send: Send) {
    this.#send = send
  }

  /** `request`: how `txn` is sent. Rejects with CallError; when that `isOpen`, nobody knows whether it was done. */
  submit(request: TxnRequest, txn: MappedTxn, timeoutMs: number): Promise<TxnResponse> {
    const footprint = footprintOf(request, txn)
    if (!footprint) return this.#send(request, timeoutMs)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...footprint, request, timeoutMs, resolve, reject })
      this.#pumpSoon()
    })
  }

  /** At the end of this turn of the event loop: what arrives together is read within one. */
  #pumpSoon(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    while (this.#underWay < MAX_UNDER_WAY && this.#waiting.length > 0) {
      const { chosen, left } = choose(this.#waiting)
      this.#waiting = left
      this.#underWay++
      void this.#run(chosen).finally(() => {
        this.#underWay--
        this.#pump()
      })
    }
  }

  /** Never rejects. */
  async #run(batch: readonly Waiting[]): Promise<void> {
    if (batch.length === 1) return this.#alone(batch[0]!)
    try {
      const timeoutMs = Math.min(...batch.map((each) => each.timeoutMs))
      const { header, responses } = await this.#send(together(batch), timeoutMs)
      for (const [i, { resolve, reject }] of batch.entries()) {
        const response = responses[i]?.response
        if (response?.case === 'responseTxn') resolve({ ...response.value, header })
        else reject(new Error('etcd answered a nested transaction with something else'))
      }
    } catch (error) {
      // Refused for what one of them asks: nothing was done, and each shall hear of its own.
      if (error instanceof CallError && !error.isOpen) await Promise.all(batch.map((each) => this.#alone(each)))
      else for (const { reject } of batch) reject(error)
    }
  }

  #alone({ request, timeoutMs, resolve, reject }: Waiting): Promise<void> {
    return this.#send(request, timeoutMs).then(resolve, reject)
  }
}

function together(batch: readonly Waiting[]): TxnRequest {
  const success = batch.map(({ request: value }) => create(RequestOpSchema, { request: { case: 'requestTxn', value } }))
  return create(TxnRequestSchema, { success })
}

/** The first that waits, and those after it that go with it. */
function choose(waiting: readonly Waiting[]): { chosen: Waiting[]; left: Waiting[] } {
  const chosen: Waiting[] = []
  const left: Waiting[] = []
  const reads = new Set<string>()
  const writes = new Set<string>()
  let bytes = 0
  for (const each of waiting) {
    const apart =
      chosen.length < MAX_TOGETHER &&
      (chosen.length === 0 || bytes + each.bytes <= MAX_BYTES) &&
      !each.writes.some((key) => reads.has(key) || writes.has(key)) &&
      !each.reads.some((key) => writes.has(key))
    // What has to wait must not be overtaken by those after it that touch the same.
    for (const key of each.reads) reads.add(key)
    for (const key of each.writes) writes.add(key)
    if (apart) bytes += each.bytes
    ;(apart ? chosen : left).push(each)
  }
  return { chosen, left }
}

/** Undefined for what goes alone: ranges, leases (one that is gone fails the whole request), long lists. */
function footprintOf(request: TxnRequest, { then, else: otherwise }: MappedTxn): Footprint | undefined {
  if (otherwise.operations.length > 0) return undefined
  const { compare, success } = request
  if (compare.length > MAX_OPERATIONS || success.length > MAX_OPERATIONS) return undefined
  const writes: string[] = []
  let bytes = 0
  for (const { request: operation } of success) {
    if (operation.case !== 'requestPut' && operation.case !== 'requestDeleteRange') return undefined
    if (operation.case === 'requestPut' && operation.value.lease !== 0n) return undefined
    if (operation.case === 'requestDeleteRange' && operation.value.rangeEnd.byteLength > 0) return undefined
    writes.push(nameOf(operation.value.key))
    bytes += operation.case === 'requestPut' ? operation.value.value.byteLength : 0
  }
  if (then.operations.length === 0) return undefined
  return { reads: compare.map(({ key }) => nameOf(key)), writes, bytes }
}

const nameOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
