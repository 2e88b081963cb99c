/** What a store is: its epoch, whose it is, and the version of its layout. */
import { create } from '@bufbuild/protobuf'
import type { Epoch } from '../../model/epoch.ts'
import type { Random } from '../../runtime/ports.ts'
import { StoreError } from '../store.ts'
import type { Cluster } from './cluster.ts'
import type { KeySpace } from './key-space.ts'
import { putOp, rangeOp, unchanged } from './messages.ts'
import { type KeyValue, KV, type ResponseOp, TxnRequestSchema } from './proto/etcd_pb.js'

const VERSION = 1
/** Of a store into which a migration is under way, or was broken off: an Atoll that knows nothing of these refuses it too. */
const UNFINISHED_VERSION = 2
const encoder = new TextEncoder()

export interface Identity {
  readonly epoch: Epoch
  /** Name of the datacenter; '' for none. */
  readonly owner: string
}

export interface StoredIdentity extends Identity {
  readonly modRevision: number
}

export const newEpoch = (generation: number, random: Random): Epoch => ({
  generation,
  random: Buffer.from(random.bytes(8)).toString('hex'),
})

export function encodeIdentity({ epoch, owner }: Identity): Uint8Array {
  return encoder.encode(JSON.stringify({ version: VERSION, owner, ...epoch }))
}

/** What stands there until a migration is finished. */
export function encodeUnfinished({ epoch, owner }: Identity): Uint8Array {
  return encoder.encode(JSON.stringify({ version: UNFINISHED_VERSION, unfinished: true, owner, ...epoch }))
}

/** The identity, finished or not. Throws StoreError 'version' or 'corrupt'. */
export function decodeAnyIdentity(value: Uint8Array, prefix: string): Identity & { readonly unfinished: boolean } {
  const { version, unfinished, owner, generation, random } = parsed(value)
  const known = version === UNFINISHED_VERSION ? unfinished === true : version === VERSION
  if (typeof version === 'number' && !known) {
    throw new StoreError(
      'version',
      `a newer Atoll wrote what is in etcd under ${prefix} (layout ${version}); update this one`,
    )
  }
  if (typeof owner !== 'string' || !Number.isSafeInteger(generation) || typeof random !== 'string') {
    throw new StoreError(
      'corrupt',
      `the key ${prefix}e in etcd is not what Atoll wrote; was the prefix used by something else?`,
    )
  }
  return { owner, epoch: { generation: generation as number, random }, unfinished: unfinished === true }
}

/** Throws StoreError 'version', 'corrupt' or 'unfinished'. */
export function decodeIdentity(value: Uint8Array, prefix: string): Identity {
  const { owner, epoch, unfinished } = decodeAnyIdentity(value, prefix)
  if (!unfinished) return { owner, epoch }
  throw new StoreError(
    'unfinished',
    `a migration into ${prefix} of this etcd is under way, or was broken off; run it again: atoll store migrate`,
  )
}

function parsed(value: Uint8Array): Record<string, unknown> {
  try {
    return Object(JSON.parse(new TextDecoder().decode(value)))
  } catch {
    return {}
  }
}

/** Reads it, or writes the first. Throws StoreError 'invalid' when the prefix belongs to another datacenter. */
export async function openIdentity(
  cluster: Cluster,
  keys: KeySpace,
  owner: string,
  random: Random,
): Promise<StoredIdentity> {
  const first: Identity = { epoch: newEpoch(0, random), owner }
  const request = create(TxnRequestSchema, {
    compare: [unchanged(keys.epoch, 0n)],
    success: [putOp(keys.epoch, encodeIdentity(first))],
    failure: [rangeOp({ key: keys.epoch }), rangeOp({ key: keys.migration })],
  })
  // Should an answer get lost, the next attempt finds what the first one wrote.
  const { succeeded, responses, header } = await cluster.ask(KV.method.txn, request, 'its prefix')
  if (succeeded) return { ...first, modRevision: Number(header!.revision) }
  const identity = identityIn(responses[0], keys)
  assertOwner(identity, owner, keys)
  if (foundIn(responses[1])) {
    throw new StoreError(
      'invalid',
      `store.url: atoll store migrate is reading the prefix ${keys.prefix} of this etcd; start the servers with --store as it says in the end`,
    )
  }
  return identity
}

/** Throws StoreError 'invalid' when the prefix belongs to another datacenter. */
export function assertOwner(identity: Identity, owner: string, keys: KeySpace): void {
  if (identity.owner === owner) return
  throw new StoreError(
    'invalid',
    `store.url: the prefix ${keys.prefix} of this etcd belongs to datacenter "${identity.owner}", this is "${owner}"; give each a prefix of its own`,
  )
}

/** Begins another life with this generation, unless that was reached already. */
export async function raiseIdentity(
  cluster: Cluster,
  keys: KeySpace,
  present: StoredIdentity,
  generation: number,
  random: Random,
): Promise<StoredIdentity> {
  let known = present
  while (known.epoch.generation < generation) {
    const raised: Identity = { epoch: newEpoch(generation, random), owner: known.owner }
    const request = create(TxnRequestSchema, {
      compare: [unchanged(keys.epoch, BigInt(known.modRevision))],
      success: [putOp(keys.epoch, encodeIdentity(raised))],
      failure: [rangeOp({ key: keys.epoch })],
    })
    const { succeeded, responses, header } = await cluster.ask(KV.method.txn, request, 'another generation')
    known = succeeded ? { ...raised, modRevision: Number(header!.revision) } : identityIn(responses[0], keys)
  }
  return known
}

function identityIn(response: ResponseOp | undefined, keys: KeySpace): StoredIdentity {
  const kv = foundIn(response)
  if (!kv) throw new StoreError('unavailable', 'etcd answered the question for its identity with something else')
  return { ...decodeIdentity(kv.value, keys.prefix), modRevision: Number(kv.modRevision) }
}

/** What a range of one key found. */
export function foundIn(response: ResponseOp | undefined): KeyValue | undefined {
  const found = response?.response
  return found?.case === 'responseRange' ? found.value.kvs[0] : undefined
}
