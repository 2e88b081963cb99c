/**
 * Notices and tells what is wrong with identities: two processes with one key, as this node's peers, this node itself and what is
 * said in its name show it. Who is refused publishes nothing any more.
 */
import type { Clock, Logger } from '../runtime/ports.ts'
import type { ShownProblem } from './federation.ts'
import type { Host, Peer, Twin } from './host.ts'
import type { Stamp } from './protocol/head.ts'
import { OwnEcho } from './protocol/lives.ts'
import { type Problem, Problems } from './protocol/problems.ts'

/** Tells the process that is kept of the one that was refused. */
export const TWIN = 'mesh.twin'
const TELL_MS = 3000
const TELL_EVERY_MS = 30_000
/** A former process may take a moment to end after the next one started. */
const OVERLAP_MS = 2000
const MAX_TOLD = 1024
const MAX_ADDRESS = 256
/** What is no fault of anybody's, but to be known. */
const WARNINGS: readonly Problem['kind'][] = ['restored', 'store-behind']

export interface IdentityWatchOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly host: Host
  /** This node is the one to give way. Once. */
  readonly onRefused: (message: string) => void
}

export class IdentityWatch {
  readonly #options: IdentityWatchOptions
  readonly #problems = new Problems()
  readonly #echo: OwnEcho
  readonly #stop: () => void
  /** When a peer was told last, by its id. */
  readonly #told = new Map<string, number>()
  #refusedSinceMs: number | undefined
  #refused = false

  constructor(options: IdentityWatchOptions) {
    const { host, clock } = options
    this.#options = options
    this.#echo = new OwnEcho(clock.nowMs())
    this.#stop = host.onTwin((twin) => this.#twin(twin))
    host.handle(TWIN, async (payload, { peer }) => this.#toldOf(payload, peer))
  }

  /** Logs it when it is new. */
  report(problem: Problem): void {
    if (!this.#problems.note(problem, this.#options.clock.nowMs())) return
    const { kind, datacenter, node, message } = problem
    const { logger } = this.#options
    const fields = { problem: kind, datacenter, ...(node !== '' && { node }) }
    if (WARNINGS.includes(kind)) logger.warn(fields, message)
    else logger.error(fields, message)
  }

  list(): ShownProblem[] {
    const nowMs = this.#options.clock.nowMs()
    return this.#problems.list(nowMs).map(({ firstMs, lastMs, ...problem }) => ({
      ...problem,
      firstSeenMs: Math.round(nowMs - firstMs),
      lastSeenMs: Math.round(nowMs - lastMs),
    }))
  }

  /** A message in this node's name. Returns what its own are to go on above, if anything. */
  echo(stamp: Stamp, own: Stamp): Stamp | undefined {
    const heard = this.#echo.heard(stamp, own, this.#options.clock.nowMs())
    if (heard === 'twin') this.#reportOwn('another process signs in the name of this node, with its key')
    return heard === 'move' ? stamp : undefined
  }

  /** As `echo`, now and then: the other may have fallen silent. */
  tick(): Stamp | undefined {
    return this.#echo.tick(this.#options.clock.nowMs())
  }

  #twin(twin: Twin): void {
    if (twin.own === 'refused') this.#isRefused(twin.kept)
    else if (twin.own === 'kept') this.#isKept(twin.refused)
    else this.#betweenOthers(twin)
  }

  #isRefused(kept: string): void {
    const { clock, onRefused } = this.#options
    const where = kept === '' ? '' : `, at ${kept}`
    const message = `another process that started earlier uses this node's key${where}: peers refuse this one, and it publishes nothing; was the data directory copied? Give this node one of its own`
    this.#reportOwn(message)
    const nowMs = clock.nowMs()
    this.#refusedSinceMs ??= nowMs
    if (this.#refused || nowMs - this.#refusedSinceMs < OVERLAP_MS) return
    this.#refused = true
    onRefused(`identity.key: ${message}`)
  }

  #isKept(refused: string): void {
    this.#reportOwn(
      `another process uses this node's key, seen at ${refused}: it started later, and peers refuse it; was the data directory copied? Give that one a data directory of its own`,
    )
  }

  #reportOwn(message: string): void {
    const { datacenter, node } = this.#options.host.self
    this.report({ kind: 'key-in-use', datacenter, node, message })
  }

  #betweenOthers({ identity, kept, refused }: Twin): void {
    const { datacenter, node, peerId } = identity
    const message = `two processes use the key of ${node} (${datacenter}): the one at ${kept} stays, the one at ${refused} started later and is refused; give that one a data directory of its own`
    this.report({ kind: 'key-in-use', datacenter, node, message })
    const { host, clock } = this.#options
    const nowMs = clock.nowMs()
    if (nowMs - (this.#told.get(peerId) ?? -Infinity) < TELL_EVERY_MS) return
    this.#told.delete(peerId)
    this.#told.set(peerId, nowMs)
    if (this.#told.size > MAX_TOLD) this.#told.delete(this.#told.keys().next().value!)
    // It tells its own operators; that is all that depends on it.
    host.call(peerId, TWIN, refused, { deadlineMs: TELL_MS }).catch(() => {})
  }

  #toldOf(refused: unknown, peer: Peer): true {
    if (peer.role === 'server' && typeof refused === 'string' && refused.length <= MAX_ADDRESS) this.#isKept(refused)
    return true
  }

  close(): void {
    this.#stop()
  }
}
