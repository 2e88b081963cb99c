/**
 * All servers of a DC have one store. The embedded one is one server's: a second server of the same DC has a catalog of its own and
 * would answer from that; so would one on another etcd, or under another prefix. The one that started later ends when they meet,
 * unless it has run for long: two that were kept apart are for a person to sort out.
 */
import type { Federation } from '../federation/federation.ts'
import type { Peer } from '../federation/host.ts'
import { AtollError, messageOf } from '../model/errors.ts'
import type { Clock, Logger } from '../runtime/ports.ts'

/** Who runs for longer than this stays, whoever was first. */
export const NEWCOMER_MS = 60_000
/** Started together, as far as two processes can tell; then their ids decide. */
const TOGETHER_MS = 1_000
const ASK_MS = 5_000
/** Milliseconds since the start of a server's process: no clock of another machine is compared. */
export const UPTIME = 'node.uptime'
/** The random part of the epoch of a store that several servers share: servers with the same one are on the same store. */
export const STORE = 'node.store'
/** Servers on one store may hear a moment apart that its epoch changed. */
const ASK_AGAIN_MS = 2_000

export interface OnlyServerOptions {
  readonly federation: Pick<Federation, 'onOwnPeer' | 'call' | 'handle' | 'problems'>
  readonly datacenter: string
  readonly nodeId: string
  readonly clock: Clock
  readonly logger: Logger
  /** What tells the store that this server shares with others; undefined: it shares none. */
  readonly sharedStore?: () => string
}

const NO_ANSWER: ReadonlySet<string> = new Set(['unavailable', 'timeout', 'overloaded'])

export class OnlyServer {
  readonly #options: OnlyServerOptions
  readonly #startedMs: number
  readonly #stop: () => void
  readonly #closing = new AbortController()
  /** Peer ids of servers of this datacenter that are connected now. */
  readonly #connected = new Set<string>()
  /** Peer ids of those being asked, so that one whose connection comes and goes is asked once at a time. */
  readonly #asked = new Set<string>()
  #refusal: AtollError | undefined
  #onRefused: ((refusal: AtollError) => void) | undefined

  constructor(options: OnlyServerOptions) {
    const { federation, clock, nodeId } = options
    this.#options = options
    this.#startedMs = clock.nowMs()
    federation.handle(UPTIME, async () => this.#uptimeMs())
    const { sharedStore } = options
    if (sharedStore) federation.handle(STORE, async () => sharedStore())
    this.#stop = federation.onOwnPeer(({ type, peer }) => {
      if (peer.role !== 'server' || peer.nodeId === nodeId) return
      if (type === 'down') return void this.#connected.delete(peer.peerId)
      this.#connected.add(peer.peerId)
      if (this.#asked.has(peer.peerId)) return
      this.#asked.add(peer.peerId)
      void this.#meet(peer).finally(() => this.#asked.delete(peer.peerId))
    })
  }

  /** Throws AtollError 'conflict' when this server is one too many; calls `onRefused`, once, when it turns out to be later. */
  assert(onRefused: (refusal: AtollError) => void): void {
    if (this.#refusal) throw this.#refusal
    this.#onRefused = onRefused
  }

  #uptimeMs(): number {
    return this.#options.clock.nowMs() - this.#startedMs
  }

  async #sharesStore(peerId: string): Promise<boolean> {
    const { federation, clock, sharedStore } = this.#options
    if (!sharedStore) return false
    const same = async (): Promise<boolean> =>
      (await federation.call({ peerId }, STORE, {}, { deadlineMs: ASK_MS })) === sharedStore()
    try {
      if (await same()) return true
      await clock.sleep(ASK_AGAIN_MS, this.#closing.signal)
      return await same()
    } catch (error) {
      if (this.#closing.signal.aborted) throw error
      // One with an embedded store does not know the question.
      if (error instanceof AtollError && NO_ANSWER.has(error.code)) throw error
      return false
    }
  }

  /** Until it says, is gone, or has had time enough: a server that is starting cannot say yet. Never rejects. */
  async #meet(peer: Peer): Promise<void> {
    const { datacenter, clock, logger } = this.#options
    const untilMs = clock.nowMs() + NEWCOMER_MS
    for (;;) {
      try {
        return await this.#compare(peer)
      } catch (error) {
        if (this.#closing.signal.aborted || !this.#connected.has(peer.peerId)) return
        const isBusy = error instanceof AtollError && NO_ANSWER.has(error.code) && clock.nowMs() < untilMs
        if (!isBusy) {
          const fields = { datacenter, node: peer.node, address: peer.address, reason: messageOf(error) }
          logger.error(fields, 'another server of this datacenter came up, and does not say which of the two was first')
          return
        }
      }
      const isClosing = await clock.sleep(ASK_AGAIN_MS, this.#closing.signal).then(
        () => false,
        () => true,
      )
      if (isClosing) return
    }
  }

  async #compare({ peerId, nodeId, node, address }: Peer): Promise<void> {
    const { federation, datacenter } = this.#options
    if (await this.#sharesStore(peerId)) return
    const uptimeMs = await federation.call({ peerId }, UPTIME, {}, { deadlineMs: ASK_MS })
    if (typeof uptimeMs !== 'number') throw new AtollError('invalid', 'its uptime is no number')
    const aheadMs = this.#uptimeMs() - uptimeMs
    const isFirst = Math.abs(aheadMs) < TOGETHER_MS ? this.#options.nodeId < nodeId : aheadMs > 0
    if (!isFirst && this.#uptimeMs() < NEWCOMER_MS) return this.#refuse(node, address)
    const message = `another server of this datacenter came up: ${node}, at ${address}; it has a store of its own and is one too many: end one of the two`
    federation.problems.report({ kind: 'second-server', datacenter, node, message })
  }

  #refuse(node: string, address: string): void {
    const { datacenter } = this.#options
    if (this.#refusal) return
    this.#refusal = new AtollError(
      'conflict',
      `datacenter "${datacenter}" has a server already: ${node}, at ${address}; run this node as a client of it (without --server), for another --dc, or all its servers with the same --store etcd://...`,
      { field: 'datacenter' },
    )
    this.#onRefused?.(this.#refusal)
  }

  close(): void {
    this.#closing.abort()
    this.#stop()
  }
}
