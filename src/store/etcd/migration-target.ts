import { create } from '@bufbuild/protobuf'
import type { Epoch } from '../../model/epoch.ts'
import type { FoundTarget, MigrationTarget, StoredEntry } from '../migration.ts'
import { StoreError } from '../store.ts'
import type { Cluster } from './cluster.ts'
import { connect, type EtcdOptions } from './connect.ts'
import {
  assertOwner,
  decodeAnyIdentity,
  encodeIdentity,
  encodeUnfinished,
  foundIn,
  type Identity,
  newEpoch,
} from './identity.ts'
import { KeySpace, sameBytes } from './key-space.ts'
import { deleteOp, putOp, rangeOp, unchanged } from './messages.ts'
import { assertNoServers, entriesOf, placeOf } from './migration-source.ts'
import { KV, RangeRequestSchema, type RequestOp, TxnRequestSchema } from './proto/etcd_pb.js'

/** etcd takes 128 operations and 1.5 MiB; a single entry may take more than this share of them. */
const MAX_OPERATIONS = 120
const MAX_BYTES = 512 * 1024
const IN_FLIGHT = 4
const REMOVED_AT_ONCE = 1_000

/**
 * Looks at a prefix of etcd as the target of a migration, without changing it. Rejects with StoreError: 'invalid' when it is another
 * datacenter's, 'locked' while servers use it, 'unavailable'.
 */
export async function openEtcdTarget(options: EtcdOptions): Promise<MigrationTarget> {
  const cluster = connect(options)
  try {
    const keys = new KeySpace(options.prefix)
    const { found, modRevision } = await look(cluster, keys, options.owner)
    if (found.content !== 'some') await assertNoServers(cluster, keys)
    return new EtcdTarget(cluster, keys, options, found, modRevision)
  } catch (error) {
    cluster.close()
    throw error
  }
}

async function look(
  cluster: Cluster,
  keys: KeySpace,
  owner: string,
): Promise<{ found: FoundTarget; modRevision: bigint }> {
  const request = create(TxnRequestSchema, {
    success: [rangeOp({ key: keys.epoch }), rangeOp(keys.dataRange('', ''), 1n)],
  })
  const { responses } = await cluster.ask(KV.method.txn, request, 'its prefix')
  const [stored, first] = [foundIn(responses[0]), foundIn(responses[1])]
  const modRevision = stored?.modRevision ?? 0n
  if (!stored) return { found: { content: first ? 'some' : 'none', epoch: undefined }, modRevision }
  const identity = decodeAnyIdentity(stored.value, keys.prefix)
  assertOwner(identity, owner, keys)
  const content = identity.unfinished ? 'unfinished' : first ? 'some' : 'none'
  return { found: { content, epoch: identity.epoch }, modRevision }
}

/**
 * Every transaction compares the revision of the mark that it began with: what is late, or of a migration that another one took over,
 * changes nothing. So each may be sent again when its answer got lost.
 */
class EtcdTarget implements MigrationTarget {
  readonly place: string
  readonly found: FoundTarget
  readonly #cluster: Cluster
  readonly #keys: KeySpace
  readonly #options: EtcdOptions
  /** Of the identity: the mark, once this migration has begun. */
  #modRevision: bigint

  constructor(cluster: Cluster, keys: KeySpace, options: EtcdOptions, found: FoundTarget, modRevision: bigint) {
    this.place = placeOf(cluster, keys)
    this.found = found
    this.#cluster = cluster
    this.#keys = keys
    this.#options = options
    this.#modRevision = modRevision
  }

  async begin(): Promise<void> {
    // Of the generation that was there before: it must not be forgotten when this is broken off.
    const epoch = newEpoch(this.found.epoch?.generation ?? 0, this.#options.random)
    this.#modRevision = await this.#identify(encodeUnfinished(this.#identity(epoch)))
    await this.#removeAll()
  }

  #identity = (epoch: Epoch): Identity => ({ epoch, owner: this.#options.owner })

  /** Overwrites the identity, unless it was changed by others. Resolves with its revision. */
  async #identify(value: Uint8Array): Promise<bigint> {
    const { epoch } = this.#keys
    const request = create(TxnRequestSchema, {
      compare: [unchanged(epoch, this.#modRevision)],
      success: [putOp(epoch, value)],
      failure: [rangeOp({ key: epoch })],
    })
    const { succeeded, responses, header } = await this.#cluster.ask(KV.method.txn, request, 'a mark')
    if (succeeded) return header!.revision
    const stored = foundIn(responses[0])
    // Its random part is nobody else's: it was written, and the answer got lost.
    if (stored && sameBytes(stored.value, value)) return stored.modRevision
    throw this.#taken()
  }

  async #removeAll(): Promise<void> {
    const range = this.#keys.dataRange('', '')
    for (;;) {
      const request = create(RangeRequestSchema, { ...range, limit: BigInt(REMOVED_AT_ONCE), keysOnly: true })
      const { kvs, more } = await this.#cluster.ask(KV.method.range, request, 'what an earlier migration left')
      const last = kvs.at(-1)
      if (last) await this.#change([deleteOp({ key: kvs[0]!.key, rangeEnd: after(last.key) })])
      if (!more) return
    }
  }

  async write(entries: readonly StoredEntry[]): Promise<void> {
    const parts = partsOf(entries)
    for (let i = 0; i < parts.length; i += IN_FLIGHT) {
      const together = parts.slice(i, i + IN_FLIGHT)
      await Promise.all(
        together.map((part) => this.#change(part.map(({ key, value }) => putOp(this.#keys.data(key), value)))),
      )
    }
  }

  async #change(operations: readonly RequestOp[]): Promise<void> {
    const compare = [unchanged(this.#keys.epoch, this.#modRevision)]
    const request = create(TxnRequestSchema, { compare, success: [...operations] })
    const { succeeded } = await this.#cluster.ask(KV.method.txn, request, 'entries of a migration')
    if (!succeeded) throw this.#taken()
  }

  async *pages(): AsyncGenerator<readonly StoredEntry[]> {
    const request = create(RangeRequestSchema, { key: this.#keys.epoch, keysOnly: true })
    const { header } = await this.#cluster.ask(KV.method.range, request, 'its revision')
    yield* entriesOf(this.#cluster, this.#keys, Number(header!.revision))
  }

  async finish(generation: number): Promise<Epoch> {
    const epoch = newEpoch(generation, this.#options.random)
    await this.#identify(encodeIdentity(this.#identity(epoch)))
    return epoch
  }

  #taken = (): StoreError =>
    new StoreError('locked', `another migration into ${this.place} has begun meanwhile; this one ends`)

  async close(): Promise<void> {
    this.#cluster.close()
  }
}

/** The first key after this one. */
function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.byteLength + 1)
  next.set(key)
  return next
}

/** In transactions that etcd takes. */
function partsOf(entries: readonly StoredEntry[]): StoredEntry[][] {
  const parts: StoredEntry[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const entry of entries) {
    const size = entry.key.length * 3 + entry.value.byteLength
    if (bytes + size > MAX_BYTES || parts.at(-1)!.length === MAX_OPERATIONS) {
      parts.push([])
      bytes = 0
    }
    parts.at(-1)!.push(entry)
    bytes += size
  }
  return parts
}
