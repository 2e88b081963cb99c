/** etcd's transactions on a map: compares, puts, ranges of one key, deletions and nested transactions, as the driver sends them. */
import { create } from '@bufbuild/protobuf'
import {
  type Compare,
  Compare_CompareTarget as CompareTarget,
  type KeyValue,
  KeyValueSchema,
  type RequestOp,
  type ResponseOp,
  ResponseOpSchema,
  type TxnRequest,
  type TxnResponse,
  TxnResponseSchema,
} from '../proto/etcd_pb.js'

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

export class FakeEtcd {
  readonly #kvs = new Map<string, KeyValue>()
  readonly #changed = new Map<number, string[]>()
  #revision = 1n

  /** Returns its mod revision. */
  put(key: string, value: Uint8Array): bigint {
    this.#revision++
    this.#put(key, value, this.#revision)
    return this.#revision
  }

  remove(key: string): void {
    this.#revision++
    this.#kvs.delete(key)
  }

  /** 0 when there is none. */
  versionOf(key: string): number {
    return Number(this.#kvs.get(key)?.version ?? 0n)
  }

  changedAt(revision: number): readonly string[] {
    return this.#changed.get(revision) ?? []
  }

  txn(request: TxnRequest): TxnResponse {
    const next = this.#revision + 1n
    const response = this.#run(request, next)
    if (this.#changed.has(Number(next))) this.#revision = next
    response.header = {
      $typeName: 'etcdserverpb.ResponseHeader',
      clusterId: 1n,
      memberId: 1n,
      revision: this.#revision,
    }
    return response
  }

  #run({ compare, success, failure }: TxnRequest, revision: bigint): TxnResponse {
    const succeeded = compare.every((one) => this.#holds(one))
    const responses = (succeeded ? success : failure).map((operation) => this.#operation(operation, revision))
    return create(TxnResponseSchema, { succeeded, responses })
  }

  #holds({ key, target, targetUnion, result }: Compare): boolean {
    const kv = this.#kvs.get(text(key))
    const actual = target === CompareTarget.MOD ? kv?.modRevision : kv?.version
    const to = targetUnion.value as bigint
    const order = (actual ?? 0n) === to ? 0 : (actual ?? 0n) > to ? 1 : 2
    return order === Number(result)
  }

  #operation({ request }: RequestOp, revision: bigint): ResponseOp {
    if (request.case === 'requestPut') {
      this.#put(text(request.value.key), request.value.value, revision)
      return create(ResponseOpSchema, { response: { case: 'responsePut', value: {} } })
    }
    if (request.case === 'requestRange') {
      const kv = this.#kvs.get(text(request.value.key))
      return create(ResponseOpSchema, { response: { case: 'responseRange', value: { kvs: kv ? [kv] : [] } } })
    }
    if (request.case === 'requestTxn') {
      const value = this.#run(request.value, revision)
      return create(ResponseOpSchema, { response: { case: 'responseTxn', value } })
    }
    return this.#delete(request.case === 'requestDeleteRange' ? request.value : undefined, revision)
  }

  #put(key: string, value: Uint8Array, revision: bigint): void {
    const old = this.#kvs.get(key)
    this.#kvs.set(
      key,
      create(KeyValueSchema, {
        key: new TextEncoder().encode(key),
        value,
        createRevision: old?.createRevision ?? revision,
        modRevision: revision,
        version: (old?.version ?? 0n) + 1n,
      }),
    )
    this.#note(key, revision)
  }

  #delete(range: { key: Uint8Array; rangeEnd: Uint8Array } | undefined, revision: bigint): ResponseOp {
    if (!range) throw new Error('an operation without a request')
    const [from, to] = [text(range.key), text(range.rangeEnd)]
    const doomed = [...this.#kvs.keys()].filter((key) => (to === '' ? key === from : key >= from && key < to))
    for (const key of doomed) {
      this.#kvs.delete(key)
      this.#note(key, revision)
    }
    const value = { deleted: BigInt(doomed.length) }
    return create(ResponseOpSchema, { response: { case: 'responseDeleteRange', value } })
  }

  #note(key: string, revision: bigint): void {
    const at = Number(revision)
    this.#changed.set(at, [...(this.#changed.get(at) ?? []), key])
  }
}
