/**
 * The embedded store is one server's: a second server of the same DC has a catalog of its own and would answer from that.
 * The one that started later ends when they meet, unless it has run for long: two that were kept apart are for a person
 * to sort out.
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

export interface OnlyServerOptions {
  readonly federation: Pick<Federation, 'onOwnPeer' | 'call' | 'handle' | 'problems'>
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
    const { federation, clock, nodeId } = options
    this.#options = options
    this.#startedMs = clock.nowMs()
    federation.handle(UPTIME, async () => this.#uptimeMs())
    this.#stop = federation.onOwnPeer(({ type, peer }) => {
      if (type === 'up' && peer.role === 'server' && peer.nodeId !== nodeId) void this.#meet(peer)
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

  /** Never rejects. */
  async #meet({ peerId, nodeId, node, address }: Peer): Promise<void> {
    const { federation, datacenter, logger } = this.#options
    try {
      const uptimeMs = await federation.call({ peerId }, UPTIME, {}, { deadlineMs: ASK_MS })
      if (typeof uptimeMs !== 'number') throw new AtollError('invalid', 'its uptime is no number')
      const aheadMs = this.#uptimeMs() - uptimeMs
      const isFirst = Math.abs(aheadMs) < TOGETHER_MS ? this.#options.nodeId < nodeId : aheadMs > 0
      if (!isFirst && this.#uptimeMs() < NEWCOMER_MS) return this.#refuse(node, address)
      const message = `another server of this datacenter came up: ${node}, at ${address}; it has a store of its own and is one too many: end one of the two`
      federation.problems.report({ kind: 'second-server', datacenter, node, message })
    } catch (error) {
      const fields = { datacenter, node, address, reason: messageOf(error) }
      logger.error(fields, 'another server of this datacenter came up, and does not say which of the two was first')
    }
  }

  #refuse(node: string, address: string): void {
    const { datacenter } = this.#options
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
