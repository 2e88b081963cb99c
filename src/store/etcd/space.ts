import { create } from '@bufbuild/protobuf'
import { messageOf } from '../../model/errors.ts'
import type { Clock, Logger, Random, Timer } from '../../runtime/ports.ts'
import { StoreError } from '../store.ts'
import type { Cluster } from './cluster.ts'
import { rewriteFile } from './member-file.ts'
import {
  AlarmRequest_AlarmAction as Action,
  AlarmRequestSchema,
  AlarmType,
  CompactionRequestSchema,
  KV,
  Maintenance,
} from './proto/etcd_pb.js'

export interface SpaceOptions {
  readonly cluster: Cluster
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** History up to here may be forgotten: live watches have it. */
  readonly forgettable: () => number
}

/** After an alarm was seen, and between attempts to end it, doubled each time: spread, as every server of the datacenter tries. */
const FIRST_MS = 500
const AGAIN_MS = 5_000
const MAX_AGAIN_MS = 600_000

/**
 * etcd refuses writes once its file has reached the quota, and goes on to do so when there is room again. This makes room
 * (forgets history, rewrites the files) and ends the alarm, for as long as it takes.
 */
export class Space {
  readonly #o: SpaceOptions
  #full: StoreError | undefined
  #timer: Timer | undefined
  #closed = false

  constructor(options: SpaceOptions) {
    this.#o = options
  }

  /** Set while etcd takes no writes for want of room. */
  get full(): StoreError | undefined {
    return this.#full
  }

  /** etcd refused something as exhausted: what that means, when it is for want of room. Never rejects. */
  async onExhausted(): Promise<StoreError | undefined> {
    try {
      if ((await this.#alarmed()).length === 0) return undefined
    } catch {
      return undefined
    }
    if (!this.#full) {
      this.#full = new StoreError(
        'disk-full',
        'etcd has reached its space quota and takes no writes: room is being made; should that not be enough, raise --quota-backend-bytes of etcd or delete what it holds for others',
      )
      this.#o.logger.error({ error: this.#full }, 'etcd has reached its space quota')
      this.#schedule(FIRST_MS, AGAIN_MS)
    }
    return this.#full
  }

  async #alarmed(): Promise<bigint[]> {
    const request = create(AlarmRequestSchema, { action: Action.GET })
    const { alarms } = await this.#o.cluster.ask(Maintenance.method.alarm, request, 'its alarms')
    return alarms.filter(({ alarm }) => alarm === AlarmType.NOSPACE).map(({ memberID }) => memberID)
  }

  #schedule(delayMs: number, againMs: number): void {
    if (this.#closed) return
    this.#timer = this.#o.clock.after(delayMs * (0.5 + this.#o.random.float()), () => {
      void this.#makeRoom()
        .catch((error: unknown) => {
          this.#o.logger.warn({ reason: messageOf(error) }, 'making room in etcd failed; trying again')
          return false
        })
        .then((done) => {
          if (done) this.#full = undefined
          else this.#schedule(againMs, Math.min(MAX_AGAIN_MS, againMs * 2))
        })
    })
  }

  /** Whether there is no alarm any more. */
  async #makeRoom(): Promise<boolean> {
    const { cluster, logger, forgettable } = this.#o
    if ((await this.#alarmed()).length === 0) return true
    const compaction = create(CompactionRequestSchema, { revision: BigInt(forgettable()), physical: true })
    await cluster.ask(KV.method.compact, compaction, 'a compaction').catch((error: unknown) => {
      // It is forgotten already.
      if (!(error instanceof StoreError && error.code === 'compacted')) throw error
    })
    let gained = 0
    for (let member = 0; member < cluster.members.length && !this.#closed; member++)
      gained += await rewriteFile(cluster, member)
    logger.debug({ gainedBytes: gained }, 'room was made in etcd')
    if (gained === 0) return false
    for (const memberID of await this.#alarmed()) {
      const request = create(AlarmRequestSchema, { action: Action.DEACTIVATE, memberID, alarm: AlarmType.NOSPACE })
      await cluster.ask(Maintenance.method.alarm, request, 'the end of an alarm')
    }
    logger.warn({ gainedBytes: gained }, 'etcd has room again and takes writes')
    return true
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
  }
}
