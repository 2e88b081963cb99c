/**
 * One commit, applied at most once though its answer may get lost: requests out, answers in, no I/O.
 *
 * Each commit under way owns a *slot*, a key that nobody else writes. The transaction compares the slot's mod revision and writes
 * a nonce into it. When the outcome is not known, a second transaction compares the same revision and overwrites the slot, so
 * that the first cannot be applied any more; or it finds the nonce there, and then the first was applied. A blind retry instead
 * would apply things twice, and giving up would leave a write that may happen at any later time.
 */
import { create } from '@bufbuild/protobuf'
import type { OperationResult } from '../store.ts'
import { type KeySpace, sameBytes } from './key-space.ts'
import { type Branch, type MappedTxn, putOp, rangeOp, resultsOf, unchanged } from './messages.ts'
import {
  type RequestOp,
  RequestOpSchema,
  type TxnRequest,
  TxnRequestSchema,
  type TxnResponse,
} from './proto/etcd_pb.js'

export interface Slot {
  readonly key: Uint8Array
  /** Its mod revision; above 0, as a slot is made before it is used. */
  mod: bigint
}

export type Answer =
  | {
      readonly kind: 'done'
      readonly succeeded: boolean
      /** Whether it wrote, the slot at least. */
      readonly wrote: boolean
      readonly results: readonly OperationResult[]
    }
  /** The slot is not what it was: another has it, or it was removed. Nothing was done. */
  | { readonly kind: 'slot-lost' }

export type Resolution =
  | { readonly kind: 'applied'; readonly succeeded: boolean; readonly revision: bigint }
  /** It was not, and cannot be any more. */
  | { readonly kind: 'not-applied'; readonly revision: bigint }
  /** The slot is gone, and with it the knowledge. */
  | { readonly kind: 'slot-lost' }

const encoder = new TextEncoder()
const empty = new Uint8Array(0)

export class Commit {
  readonly #txn: MappedTxn
  readonly #slot: Slot
  readonly #mod: bigint
  readonly #keys: KeySpace
  readonly #thenNonce: Uint8Array
  readonly #elseNonce: Uint8Array
  readonly #burnNonce: Uint8Array

  /** `nonce`: another one for each commit of this process. */
  constructor(txn: MappedTxn, slot: Slot, nonce: number, keys: KeySpace) {
    this.#txn = txn
    this.#slot = slot
    this.#mod = slot.mod
    this.#keys = keys
    this.#thenNonce = encoder.encode(`${nonce}t`)
    this.#elseNonce = encoder.encode(`${nonce}e`)
    this.#burnNonce = encoder.encode(`${nonce}b`)
  }

  get #isNested(): boolean {
    return this.#txn.else.writes
  }

  request(): TxnRequest {
    const { compares, then } = this.#txn
    const mine = unchanged(this.#slot.key, this.#mod)
    const look = rangeOp({ key: this.#slot.key })
    const success = this.#written(then, this.#thenNonce)
    if (!this.#isNested) {
      const failure = [look, ...this.#txn.else.operations]
      return create(TxnRequestSchema, { compare: [mine, ...compares], success, failure })
    }
    // Where `else` writes too, it must not run because of the slot.
    const failure = this.#written(this.#txn.else, this.#elseNonce)
    const nested = create(TxnRequestSchema, { compare: [...compares], success, failure })
    const inner = create(RequestOpSchema, { request: { case: 'requestTxn', value: nested } })
    return create(TxnRequestSchema, { compare: [mine], success: [inner], failure: [look] })
  }

  #written(branch: Branch, nonce: Uint8Array): RequestOp[] {
    const own = [putOp(this.#slot.key, nonce)]
    if (!branch.shows) own.push(putOp(this.#keys.head, empty))
    return [...own, ...branch.operations]
  }

  answer(response: TxnResponse): Answer {
    const { then } = this.#txn
    if (!this.#isNested) {
      if (response.succeeded) return this.#done(true, then, response, then.shows ? 1 : 2)
      if (this.#isMoved(response)) return { kind: 'slot-lost' }
      const results = resultsOf(this.#txn.else, response.responses.slice(1), this.#keys)
      return { kind: 'done', succeeded: false, wrote: false, results }
    }
    if (!response.succeeded) return { kind: 'slot-lost' }
    const inner = response.responses[0]!.response
    if (inner.case !== 'responseTxn') throw new Error('etcd answered a nested transaction with something else')
    const branch = inner.value.succeeded ? then : this.#txn.else
    return this.#done(inner.value.succeeded, branch, inner.value, branch.shows ? 1 : 2)
  }

  #done(succeeded: boolean, branch: Branch, response: TxnResponse, own: number): Answer {
    const results = resultsOf(branch, response.responses.slice(own), this.#keys)
    return { kind: 'done', succeeded, wrote: true, results }
  }

  #isMoved(response: TxnResponse): boolean {
    return slotIn(response)?.modRevision !== this.#mod
  }

  /** May be sent any number of times, for as long as its own outcome is not known either. */
  resolution(): TxnRequest {
    return create(TxnRequestSchema, {
      compare: [unchanged(this.#slot.key, this.#mod)],
      success: [putOp(this.#slot.key, this.#burnNonce), putOp(this.#keys.head, empty)],
      failure: [rangeOp({ key: this.#slot.key })],
    })
  }

  resolve(response: TxnResponse): Resolution {
    if (response.succeeded) return { kind: 'not-applied', revision: response.header!.revision }
    const slot = slotIn(response)
    if (!slot) return { kind: 'slot-lost' }
    const revision = slot.modRevision
    if (sameBytes(slot.value, this.#thenNonce)) return { kind: 'applied', succeeded: true, revision }
    if (sameBytes(slot.value, this.#elseNonce)) return { kind: 'applied', succeeded: false, revision }
    // An earlier resolution, whose answer got lost as well.
    return sameBytes(slot.value, this.#burnNonce) ? { kind: 'not-applied', revision } : { kind: 'slot-lost' }
  }
}

function slotIn(response: TxnResponse) {
  const first = response.responses[0]?.response
  return first?.case === 'responseRange' ? first.value.kvs[0] : undefined
}
