import { create } from '@bufbuild/protobuf'
import type { Clock, Logger, Timer } from '../../runtime/ports.ts'
import type { CallError } from './call-error.ts'
import type { Cluster, Stream } from './cluster.ts'
import type { ByteRange } from './key-space.ts'
import {
  type Event,
  type WatchRequestSchema as RequestSchema,
  Watch,
  WatchCreateRequestSchema,
  WatchRequestSchema,
  type WatchResponse,
} from './proto/etcd_pb.js'

/** All that one revision changed in the watched range. */
export interface RawRevision {
  readonly revision: number
  readonly events: readonly Event[]
}

export interface EventStreamOptions {
  readonly cluster: Cluster
  readonly clock: Clock
  readonly logger: Logger
  readonly range: ByteRange
  /** Everything after this revision is wanted. */
  readonly since: number
  /** Whole revisions in order, none lost, none twice. */
  readonly onRevisions: (batch: readonly RawRevision[]) => void
  /** History after the position is gone, `oldest` is the first that is left; the stream is over. */
  readonly onCompacted: (oldest: number) => void
}

/** A member that does not begin a watch in this time hangs. */
const OPEN_MS = 2_000
const MIN_PAUSE_MS = 20
const MAX_PAUSE_MS = 1_000

/**
 * The events of one range, over as many watches of etcd as it takes. A watch goes on after the last revision of which events
 * came: a revision in a header is none to go on from, as events below it may still be on their way.
 */
export class EventStream {
  readonly #o: EventStreamOptions
  #position: number
  #stream: Stream<typeof RequestSchema> | undefined
  #member = 0
  #opening: Timer | undefined
  #pause: Timer | undefined
  #failures = 0
  #openedMs = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(options: EventStreamOptions) {
    this.#o = options
    this.#position = options.since
    this.#open()
  }

  /** Everything up to here was delivered. */
  get position(): number {
    return this.#position
  }

  /** Goes on with another member: this one is behind what others have said. */
  doubt(): void {
    const { clock } = this.#o
    if (this.#closed || !this.#stream || clock.nowMs() - this.#openedMs < OPEN_MS) return
    this.#stream.cancel()
    this.#again('a watch is behind; it goes on at another member')
  }

  close(): void {
    this.#closed = true
    this.#opening?.cancel()
    this.#pause?.cancel()
    this.#stream?.cancel()
    this.#stream = undefined
  }

  #open(): void {
    const { cluster, clock, range } = this.#o
    this.#member = cluster.current
    this.#openedMs = clock.nowMs()
    const stream = cluster.stream(
      Watch.method.watch,
      {
        onMessage: (message) => {
          if (this.#stream === stream) this.#onMessage(message)
        },
        onEnd: (error: CallError) => {
          if (this.#stream === stream) this.#again(error.message)
        },
      },
      { hasLeader: true },
    )
    this.#stream = stream
    this.#opening = clock.after(OPEN_MS, () => {
      stream.cancel()
      this.#again('no member began the watch in time')
    })
    // From the position itself, not after it: etcd then tells when a deletion at that very revision was compacted away.
    const startRevision = BigInt(Math.max(1, this.#position))
    const value = create(WatchCreateRequestSchema, { ...range, startRevision })
    stream.send(create(WatchRequestSchema, { requestUnion: { case: 'createRequest', value } }))
  }

  #onMessage(message: WatchResponse): void {
    if (message.created) this.#opening?.cancel()
    if (message.compactRevision > 0n) {
      this.close()
      this.#o.onCompacted(Number(message.compactRevision) + 1)
      return
    }
    if (message.canceled) {
      this.#stream?.cancel()
      void this.#o.cluster.renewLogin()
      this.#again(message.cancelReason || 'etcd ended the watch')
      return
    }
    if (message.events.length > 0) this.#onEvents(message.events)
  }

  #onEvents(events: readonly Event[]): void {
    this.#failures = 0
    const batch: { revision: number; events: Event[] }[] = []
    for (const event of events) {
      const revision = Number(event.kv!.modRevision)
      if (revision <= this.#position) continue
      const last = batch.at(-1)
      if (last?.revision === revision) last.events.push(event)
      else batch.push({ revision, events: [event] })
    }
    if (batch.length === 0) return
    this.#position = batch.at(-1)!.revision
    this.#o.onRevisions(batch)
  }

  #again(reason: string): void {
    this.#opening?.cancel()
    this.#stream = undefined
    if (this.#closed) return
    const { cluster, clock, logger } = this.#o
    cluster.leave(this.#member)
    logger.debug({ reason, position: this.#position }, 'the watch of etcd goes on at another member')
    this.#pause?.cancel()
    this.#pause = clock.after(Math.min(MAX_PAUSE_MS, MIN_PAUSE_MS * 2 ** this.#failures++), () => this.#open())
  }
}
