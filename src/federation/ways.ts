/** Dials what `protocol/ways.ts` says, and tells it what came of it. */
import { isAtollError, messageOf } from '../model/errors.ts'
import type { Clock, Logger } from '../runtime/ports.ts'
import type { Host, Peer } from './host.ts'
import type { Directory } from './protocol/directory.ts'
import { OwnReach, type Reached } from './protocol/reach.ts'
import { type Neighbour, Ways, type WaysEffect } from './protocol/ways.ts'

export interface WayFinderOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly host: Host
  readonly directory: Directory
}

/** A peer that is silent for so long reaches nobody, and longer while this node doubts itself. */
const SUSPECT_MS = 1200
const MAX_PATIENCE = 2

/** A dial through a relay: two round trips more than a direct one, over two links. */
const DIAL_MS = 6000

export class WayFinder {
  readonly #options: WayFinderOptions
  readonly #ways = new Ways()
  readonly #ownReach = new OwnReach()
  readonly #closed = new AbortController()

  constructor(options: WayFinderOptions) {
    this.#options = options
  }

  /** What this gateway says that it reaches. */
  reach(): Uint8Array {
    const { host } = this.#options
    const suspectMs = this.#suspectMs()
    const reached: Reached[] = []
    for (const { peerId, role, via } of host.peers()) {
      const roundTripMs = host.roundTripMs(peerId)
      const answers = (host.silentMs(peerId) ?? Number.POSITIVE_INFINITY) <= suspectMs
      if (role === 'server' && via === undefined && answers && roundTripMs !== undefined)
        reached.push({ peerId, roundTripMs })
    }
    return this.#ownReach.update(reached)
  }

  /** Call every few hundred milliseconds, and when somebody came or went. */
  tick(): void {
    const { host, directory, clock } = this.#options
    if (this.#closed.signal.aborted || host.self.role !== 'server') return
    const nowMs = clock.nowMs()
    const gateways = directory
      .datacenters()
      .flatMap((datacenter) => directory.gateways(datacenter))
      .map(({ peerId, datacenter, reach, reachMs, stamp }) => {
        return { peerId, datacenter, boot: stamp.boot, reach, reachAgeMs: nowMs - reachMs }
      })
    const view = { self: host.self, neighbours: this.#neighbours(), gateways, suspectMs: this.#suspectMs() }
    for (const effect of this.#ways.tick(view, nowMs)) this.#run(effect)
  }

  #suspectMs(): number {
    return SUSPECT_MS * Math.min(MAX_PATIENCE, this.#options.directory.awareness.score + 1)
  }

  close(): void {
    this.#closed.abort(new Error('this node is closing'))
  }

  #neighbours(): Neighbour[] {
    const { host } = this.#options
    return host
      .peers()
      .filter(({ role }) => role === 'server')
      .map(({ peerId, datacenter, via, direction }) => ({
        peerId,
        datacenter,
        silentMs: host.silentMs(peerId) ?? Number.POSITIVE_INFINITY,
        roundTripMs: host.roundTripMs(peerId),
        relayed: via !== undefined,
        dialled: direction === 'outbound',
      }))
  }

  #run(effect: WaysEffect): void {
    const { host, logger } = this.#options
    if (effect.type === 'dial') void this.#dial(effect.peerId, effect.relay)
    else
      host
        .disconnect(effect.peerId)
        .catch((error: unknown) => logger.debug({ reason: messageOf(error) }, 'a relayed connection did not end'))
  }

  /** Never rejects. */
  async #dial(peerId: string, relay: string): Promise<void> {
    const { host, logger, clock, directory } = this.#options
    const datacenter = directory.datacenters().find((name) => directory.gateway(name, peerId)) ?? ''
    let ok = false
    try {
      const options = { deadlineMs: DIAL_MS, signal: this.#closed.signal }
      const { node, via }: Peer = await host.dialVia(peerId, relay, options)
      ok = true
      if (via) logger.warn({ datacenter, node, via: via.node }, 'no direct way to a datacenter; a third passes on')
    } catch (error) {
      const code = isAtollError(error) ? error.code : 'internal'
      logger.debug({ datacenter, peerId, relay, code, reason: messageOf(error) }, 'no way through')
    }
    if (!this.#closed.signal.aborted) this.#ways.ended({ peerId, relay, datacenter, ok }, clock.nowMs())
  }
}
