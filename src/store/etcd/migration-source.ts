import { create } from '@bufbuild/protobuf'
import type { Timer } from '../../runtime/ports.ts'
import type { MigrationSource, StoredEntry } from '../migration.ts'
import { StoreError } from '../store.ts'
import type { Cluster } from './cluster.ts'
import { connect, type EtcdOptions } from './connect.ts'
import { assertOwner, decodeIdentity, foundIn, type Identity } from './identity.ts'
import { type ByteRange, KeySpace } from './key-space.ts'
import { Leases } from './leases.ts'
import { putOp, rangeOp, unchanged } from './messages.ts'
import {
  KV,
  RangeRequestSchema,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  TxnRequestSchema,
} from './proto/etcd_pb.js'
import { rangePages } from './range.ts'

/** While a migration lives, no server starts on the store that it reads; what it left when it was killed is gone so soon. */
const PRESENCE_MS = 10_000
const RENEW_MS = 2_500
/** How long another migration is waited for: for as long as one that was killed may still seem to be there. */
const WAIT_MS = 15_000
const PAUSE_MS = 250

/**
 * Opens a store in etcd to be read by a migration. Rejects with StoreError: 'invalid' where there is none or another datacenter's,
 * 'locked' while servers or another migration use it, 'unfinished', 'unavailable'.
 */
export async function openEtcdSource(options: EtcdOptions): Promise<MigrationSource> {
  const cluster = connect(options)
  const leases = new Leases({
    cluster,
    clock: options.clock,
    random: options.random,
    onExhausted: async () => undefined,
  })
  try {
    const keys = new KeySpace(options.prefix)
    const identity = await identityOf(cluster, keys, options.owner)
    const presence = await Presence.begin(cluster, keys, leases, options)
    try {
      await assertNoServers(cluster, keys)
      return new EtcdSource(cluster, keys, leases, presence, identity, await revisionOf(cluster, keys))
    } catch (error) {
      await presence.end()
      throw error
    }
  } catch (error) {
    leases.close()
    cluster.close()
    throw error
  }
}

async function identityOf(cluster: Cluster, keys: KeySpace, owner: string): Promise<Identity> {
  const { kvs } = await cluster.ask(KV.method.range, create(RangeRequestSchema, { key: keys.epoch }), 'its prefix')
  if (!kvs[0]) {
    throw new StoreError(
      'invalid',
      `there is no store of Atoll in etcd under the prefix ${keys.prefix}; is it the right datacenter, or has the address of the servers another prefix?`,
    )
  }
  const identity = decodeIdentity(kvs[0].value, keys.prefix)
  assertOwner(identity, owner, keys)
  return identity
}

/** Rejects with 'locked' when servers use the store, or did a minute ago. */
export async function assertNoServers(cluster: Cluster, keys: KeySpace): Promise<void> {
  const request = create(RangeRequestSchema, { ...keys.processes, keysOnly: true })
  const { kvs } = await cluster.ask(KV.method.range, request, 'the processes that use it')
  if (kvs.length === 0) return
  throw new StoreError(
    'locked',
    `${kvs.length} server(s) use the prefix ${keys.prefix} of this etcd; stop all servers of the datacenter (one that was killed counts for a minute more), and try again`,
  )
}

/** The revision of the last change that a migration would have to know of. */
async function revisionOf(cluster: Cluster, keys: KeySpace): Promise<number> {
  const last = (range: ByteRange) =>
    cluster.ask(
      KV.method.range,
      create(RangeRequestSchema, {
        ...range,
        sortOrder: SortOrder.DESCEND,
        sortTarget: SortTarget.MOD,
        limit: 1n,
        keysOnly: true,
      }),
      'its last change',
    )
  // Every transaction writes a slot, and one of the watched keys.
  const [slots, watched] = await Promise.all([last(keys.slots), last(keys.watched)])
  return Math.max(Number(slots.kvs[0]?.modRevision ?? 0n), Number(watched.kvs[0]?.modRevision ?? 0n))
}

class EtcdSource implements MigrationSource {
  readonly place: string
  readonly revision: number
  readonly #cluster: Cluster
  readonly #keys: KeySpace
  readonly #leases: Leases
  readonly #presence: Presence
  readonly #identity: Identity

  constructor(
    cluster: Cluster,
    keys: KeySpace,
    leases: Leases,
    presence: Presence,
    identity: Identity,
    revision: number,
  ) {
    this.#cluster = cluster
    this.#keys = keys
    this.#leases = leases
    this.#presence = presence
    this.#identity = identity
    this.revision = revision
    this.place = placeOf(cluster, keys)
  }

  get epoch() {
    return this.#identity.epoch
  }

  pages(): AsyncIterable<readonly StoredEntry[]> {
    return entriesOf(this.#cluster, this.#keys, this.revision)
  }

  async assertUnused(): Promise<void> {
    await assertNoServers(this.#cluster, this.#keys)
    await this.#presence.assertThere()
    const revision = await revisionOf(this.#cluster, this.#keys)
    if (revision === this.revision) return
    throw new StoreError(
      'locked',
      `something was written to ${this.place} while it was read (at revision ${revision}); stop all servers of the datacenter, and run the migration again`,
    )
  }

  async close(): Promise<void> {
    await this.#presence.end()
    this.#leases.close()
    this.#cluster.close()
  }
}

export const placeOf = (cluster: Cluster, keys: KeySpace): string =>
  `etcd at ${cluster.members.join(', ')} under ${keys.prefix}`

export async function* entriesOf(
  cluster: Cluster,
  keys: KeySpace,
  revision: number,
): AsyncGenerator<readonly StoredEntry[]> {
  for await (const { kvs } of rangePages(cluster, keys, '', '', { revision })) yield kvs
}

/** The sign that a migration reads the store: servers that start see it. */
class Presence {
  readonly #cluster: Cluster
  readonly #keys: KeySpace
  readonly #leases: Leases
  readonly #lease: number
  readonly #revision: bigint
  readonly #renewal: Timer

  static async begin(cluster: Cluster, keys: KeySpace, leases: Leases, { clock }: EtcdOptions): Promise<Presence> {
    const lease = await leases.grant(PRESENCE_MS)
    const request = create(TxnRequestSchema, {
      compare: [unchanged(keys.migration, 0n)],
      success: [putOp(keys.migration, new Uint8Array(0), BigInt(lease.id))],
      failure: [rangeOp({ key: keys.migration })],
    })
    for (const untilMs = clock.nowMs() + WAIT_MS; ; await clock.sleep(PAUSE_MS)) {
      const { succeeded, responses, header } = await cluster.ask(KV.method.txn, request, 'a sign of this migration')
      const found = succeeded ? undefined : foundIn(responses[0])
      // With its lease: an answer got lost, and it is there.
      const revision = succeeded ? header!.revision : found?.lease === BigInt(lease.id) ? found.modRevision : undefined
      if (revision !== undefined) return new Presence(cluster, keys, leases, lease.id, revision, clock)
      if (clock.nowMs() < untilMs) {
        await leases.renew(lease.id)
        continue
      }
      await leases.revoke(lease.id)
      throw new StoreError(
        'locked',
        `another migration reads the prefix ${keys.prefix} of this etcd; wait until it has ended`,
      )
    }
  }

  private constructor(
    cluster: Cluster,
    keys: KeySpace,
    leases: Leases,
    lease: number,
    revision: bigint,
    clock: EtcdOptions['clock'],
  ) {
    this.#cluster = cluster
    this.#keys = keys
    this.#leases = leases
    this.#lease = lease
    this.#revision = revision
    // Should it fail for long, `assertThere` says so.
    this.#renewal = clock.every(RENEW_MS, () => void leases.renew(lease).catch(() => {}))
  }

  async assertThere(): Promise<void> {
    const request = create(RangeRequestSchema, { key: this.#keys.migration })
    const { kvs } = await this.#cluster.ask(KV.method.range, request, 'a sign of this migration')
    if (kvs[0]?.modRevision === this.#revision) return
    throw new StoreError(
      'locked',
      `etcd could not be reached for ${PRESENCE_MS / 1000} s while it was read, and servers may have been there; run the migration again`,
    )
  }

  async end(): Promise<void> {
    this.#renewal.cancel()
    await this.#leases.revoke(this.#lease).catch(() => {})
  }
}
