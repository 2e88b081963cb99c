/**
 * The embedded store is one server's: a second server of the same DC has a catalog of its own and would answer from that.
 * It ends when it meets the first, soon after it starts; who has been running for longer stays.
 */
import type { Federation } from '../federation/federation.ts'
import { AtollError } from '../model/errors.ts'
import type { Clock, Logger } from '../runtime/ports.ts'

/** Who meets another server later than this after its start was there first. */
const NEWCOMER_MS = 15_000

export interface OnlyServerOptions {
  readonly federation: Pick<Federation, 'onOwnPeer'>
  readonly datacenter: string
  readonly nodeId: string
  readonly clock: Clock
  readonly logger: Logger
}

export class OnlyServer {
  readonly #options: OnlyServerOptions
  readonly #startedMs: number
  readonly #stop: () => void
  #refusal: AtollError | undefined
  #onRefused: ((refusal: AtollError) => void) | undefined

  constructor(options: OnlyServerOptions) {
    this.#options = options
    this.#startedMs = options.clock.nowMs()
    this.#stop = options.federation.onOwnPeer(({ type, peer }) => {
      if (type === 'up' && peer.role === 'server' && peer.nodeId !== options.nodeId) this.#meet(peer.node, peer.address)
    })
  }

  /** Throws AtollError 'conflict' when this server is one too many; calls `onRefused`, once, when it turns out to be later. */
  assert(onRefused: (refusal: AtollError) => void): void {
    if (this.#refusal) throw this.#refusal
    this.#onRefused = onRefused
  }

  #meet(node: string, address: string): void {
    const { datacenter, clock, logger } = this.#options
    if (clock.nowMs() - this.#startedMs > NEWCOMER_MS) {
      logger.error({ datacenter, node, address }, 'another server of this datacenter came up; it is told to end')
      return
    }
    if (this.#refusal) return
    this.#refusal = new AtollError(
      'conflict',
      `datacenter "${datacenter}" has a server already: ${node}, at ${address}; run this node as a client of it (without --server), or for another --dc`,
      { field: 'datacenter' },
    )
    this.#onRefused?.(this.#refusal)
  }

  close(): void {
    this.#stop()
  }
}
