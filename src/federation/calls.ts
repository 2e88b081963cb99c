/** Calls to a DC: the nearest of its gateways that can answer, the next when it surely got nothing, and fast failure. */
import { AtollError, isAtollError } from '../model/errors.ts'
import type { Clock } from '../runtime/ports.ts'
import type { CallTarget, CallTerms } from './federation.ts'
import type { Host, Peer } from './host.ts'
import { byNearness } from './nearness.ts'
import { Breaker } from './protocol/breaker.ts'
import { HedgeBudget, Latencies } from './protocol/hedge.ts'

export interface CallsOptions {
  readonly clock: Clock
  readonly host: Host
  readonly datacenter: string
  /** Whether the DC was ever heard of. */
  readonly isKnown: (datacenter: string) => boolean
  /** Whether a peer is of the DC that has its DC's name here, and not of another one that took it. */
  readonly isOf: (peer: Peer) => boolean
  /** Peers that were silent for longer get no calls, and those in flight to them fail. */
  readonly silentMs: number
  /** Calls in flight to one peer. */
  readonly maxInFlight: number
}

interface Line {
  readonly breaker: Breaker
  readonly latencies: Latencies
  inFlight: number
}

interface Run {
  readonly target: CallTarget
  readonly method: string
  readonly payload: unknown
  readonly untilMs: number
  /** Of a kind whose latencies are compared. */
  readonly hedge: boolean
}

/** A tick that comes so much after the one before tells that this node stood still: what was said meanwhile is yet to be read. */
const STALL_MS = 800

/** Aborted by us, as the peer fell silent. */
class Silence extends Error {}
/** Aborted by us, as another one answered. */
class Outrun extends Error {}

/** Whether somebody gave that answer, though it is an error. */
const isAnswer = (error: unknown): boolean =>
  isAtollError(error) && error.code !== 'unavailable' && error.code !== 'overloaded' && error.code !== 'timeout'

/** Of two, the first that was answered; where neither was, what became of the leading one. */
function firstAnswer(leading: Promise<unknown>, second: Promise<unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let failed = 0
    const onError = (error: unknown): void => {
      if (isAnswer(error)) reject(error)
      else if (++failed === 2) leading.then(resolve, reject)
    }
    leading.then(resolve, onError)
    second.then(resolve, onError)
  })
}

export class Calls {
  readonly #options: CallsOptions
  readonly #lines = new Map<string, Line>()
  readonly #inFlight = new Map<AbortController, string>()
  readonly #budget = new HedgeBudget()
  #hedges = 0
  #tickedMs: number | undefined

  constructor(options: CallsOptions) {
    this.#options = options
  }

  async call(target: CallTarget, method: string, payload: unknown, options: CallTerms): Promise<unknown> {
    const candidates = this.#candidates(target)
    const { hedge = false, deadlineMs, signal } = options
    const run: Run = { target, method, payload, untilMs: this.#options.clock.nowMs() + deadlineMs, hedge }
    const queue = candidates.values()
    if (hedge && candidates.length > 1) return this.#hedged(candidates[0]!, queue, run, signal)
    return this.#inTurn(queue, run, signal)
  }

  /** The next one when the one before surely did not carry the call out. */
  async #inTurn(queue: Iterator<Peer>, run: Run, signal: AbortSignal | undefined): Promise<unknown> {
    const { clock } = this.#options
    let failure: AtollError | undefined
    for (let next = queue.next(); !next.done; next = queue.next()) {
      const leftMs = run.untilMs - clock.nowMs()
      if (leftMs <= 0) break
      try {
        return await this.#callPeer(next.value, run, leftMs, signal)
      } catch (error) {
        if (!isAtollError(error) || (error.code !== 'unavailable' && error.code !== 'overloaded')) throw error
        if (signal?.aborted) throw error
        failure = error
      }
    }
    throw failure ?? this.#nobody(run.target)
  }

  /** Asks the next gateway as well when the first takes longer than it mostly does; the first answer wins. */
  async #hedged(first: Peer, queue: Iterator<Peer>, run: Run, signal: AbortSignal | undefined): Promise<unknown> {
    const { clock } = this.#options
    this.#budget.earn()
    const afterMs = this.#line(first.peerId).latencies.hedgeAfterMs(clock.nowMs())
    if (afterMs === undefined) return this.#inTurn(queue, run, signal)
    const race = new AbortController()
    const stop = signal ? AbortSignal.any([signal, race.signal]) : race.signal
    const leading = this.#inTurn(queue, run, stop)
    const late = Promise.withResolvers<boolean>()
    const timer = clock.after(afterMs, () => late.resolve(true))
    const inTime = leading.then(
      () => false,
      () => false,
    )
    try {
      const isLate = await Promise.race([inTime, late.promise])
      if (!isLate || !this.#budget.spend()) return await leading
      this.#hedges++
      return await firstAnswer(leading, this.#inTurn(queue, run, stop))
    } finally {
      timer.cancel()
      race.abort(new Outrun('another gateway answered first'))
    }
  }

  /** Calls that were sent to a second gateway because the first was slow, ever. */
  get hedges(): number {
    return this.#hedges
  }

  /** Who may answer, nearest first. AtollError when there is nobody. */
  #candidates(target: CallTarget): Peer[] {
    const { host, clock } = this.#options
    const nowMs = clock.nowMs()
    const peers = host
      .peers()
      .filter((peer) =>
        target.peerId === undefined
          ? peer.datacenter === target.datacenter && peer.role === 'server' && this.#options.isOf(peer)
          : peer.peerId === target.peerId,
      )
      .filter((peer) => !this.#isSilent(peer.peerId) && this.#line(peer.peerId).breaker.allows(nowMs))
    if (peers.length === 0) throw this.#nobody(target)
    return peers.sort(byNearness(host))
  }

  #isSilent(peerId: string): boolean {
    return (this.#options.host.silentMs(peerId) ?? Number.POSITIVE_INFINITY) > this.#options.silentMs
  }

  #nobody(target: CallTarget): AtollError {
    const { host, datacenter: own, isKnown } = this.#options
    const { datacenter, peerId } = target
    if (datacenter === undefined)
      return new AtollError('unavailable', `peer ${peerId ?? '(none named)'} is not connected or does not answer`)
    if (datacenter !== own && !isKnown(datacenter))
      return new AtollError('no-path', `no datacenter "${datacenter}" is known here`)
    const connected = host.peers().filter((peer) => peer.datacenter === datacenter && peer.role === 'server')
    const reason = connected.length === 0 ? 'no server of it is connected' : 'its servers do not answer'
    return new AtollError('unavailable', `datacenter "${datacenter}" cannot be reached: ${reason}`)
  }

  async #callPeer(
    peer: Peer,
    { method, payload, hedge }: Run,
    deadlineMs: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const line = this.#line(peer.peerId)
    if (line.inFlight >= this.#options.maxInFlight)
      throw new AtollError('overloaded', `${peer.datacenter}: ${line.inFlight} calls to ${peer.node} are in flight`)
    const controller = new AbortController()
    const onAbort = (): void => controller.abort(signal?.reason)
    if (signal?.aborted) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
    line.inFlight++
    line.breaker.begin()
    this.#inFlight.set(controller, peer.peerId)
    const beganMs = this.#options.clock.nowMs()
    try {
      const answer = await this.#options.host.call(peer.peerId, method, payload, {
        deadlineMs,
        signal: controller.signal,
      })
      line.breaker.succeeded()
      if (hedge) this.#measure(line, beganMs)
      return answer
    } catch (error) {
      // It would have taken so long at least.
      if (hedge && controller.signal.reason instanceof Outrun) this.#measure(line, beganMs)
      throw this.#judge(error, peer, method, deadlineMs, line, controller.signal)
    } finally {
      line.inFlight--
      this.#inFlight.delete(controller)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #measure(line: Line, beganMs: number): void {
    const nowMs = this.#options.clock.nowMs()
    line.latencies.add(nowMs - beganMs, nowMs)
  }

  /** What a failure says about the peer, and the error that names the DC. */
  #judge(error: unknown, peer: Peer, method: string, deadlineMs: number, line: Line, signal: AbortSignal): unknown {
    const nowMs = this.#options.clock.nowMs()
    if (signal.aborted && signal.reason instanceof Silence) {
      line.breaker.timedOut(nowMs)
      const text = `datacenter "${peer.datacenter}" fell silent while ${peer.node} was asked (${method})`
      return new AtollError('timeout', text, { cause: error })
    }
    if (signal.aborted) {
      line.breaker.withdrawn()
      return error
    }
    if (isAtollError(error) && error.code === 'timeout') {
      line.breaker.timedOut(nowMs)
      const text = `datacenter "${peer.datacenter}" did not answer within ${Math.round(deadlineMs)} ms (${method}, ${peer.node})`
      return new AtollError('timeout', text, { cause: error })
    }
    // An error is an answer too, unless there was nobody to give it.
    if (isAtollError(error) && error.code !== 'unavailable') line.breaker.succeeded()
    else line.breaker.withdrawn()
    if (isAtollError(error) && error.code === 'unavailable')
      return new AtollError('unavailable', `datacenter "${peer.datacenter}": ${error.message}`, { cause: error })
    return error
  }

  #line(peerId: string): Line {
    let line = this.#lines.get(peerId)
    if (!line) {
      line = { breaker: new Breaker(), latencies: new Latencies(), inFlight: 0 }
      this.#lines.set(peerId, line)
    }
    return line
  }

  /** Call every few hundred milliseconds: fails what is in flight to peers that fell silent. */
  tick(): void {
    const nowMs = this.#options.clock.nowMs()
    const isLate = nowMs - (this.#tickedMs ?? nowMs) > STALL_MS
    this.#tickedMs = nowMs
    if (isLate) return
    for (const [controller, peerId] of this.#inFlight) {
      if (this.#isSilent(peerId)) controller.abort(new Silence('silent'))
    }
  }

  /** A new connection is a new start. */
  forget(peerId: string): void {
    if (this.#line(peerId).inFlight === 0) this.#lines.delete(peerId)
  }

  close(): void {
    for (const controller of this.#inFlight.keys())
      controller.abort(new AtollError('unavailable', 'this node is closing'))
  }
}
