import { AtollError, isAtollError, messageOf } from '../../model/errors.ts'
import type { Clock, Logger, Random, Timer } from '../../runtime/ports.ts'
import type { PeerAddress, Role } from '../host.ts'
import type { DialAttempt } from './encrypter.ts'
import type { HostLimits } from './limits.ts'
import { SharedDials } from './shared-dials.ts'

export interface DiallerOptions {
  readonly selfPeerId: string
  readonly selfRole: Role
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly limits: HostLimits
  /** Connected, or about to be. */
  connected(peerId: string): boolean
  /** Resolves when the handshake is done. */
  dial(address: string, attempt: DialAttempt, signal: AbortSignal): Promise<void>
}

interface Wanted {
  addresses: readonly string[]
  failures: number
  /** Dials in a row that led to another node: several may stand behind one address. */
  strangers: number
  timer: Timer | undefined
  dialling: AbortController | undefined
}

/** The next address of a peer is tried beside the one before when that takes longer than this. */
const STAGGER_MS = 300
/** Behind an address that leads to another node the right one may be next: so often it is tried again without a pause. */
const MAX_STRANGERS = 12

/** Dials the peers that are wanted, for as long as it takes. */
export class Dialler {
  readonly #options: DiallerOptions
  readonly #wanted = new Map<string, Wanted>()
  readonly #dials: SharedDials

  constructor(options: DiallerOptions) {
    this.#options = options
    this.#dials = new SharedDials(options.dial)
  }

  want(peers: readonly PeerAddress[]): void {
    const before = new Map(this.#wanted)
    for (const { peerId, addresses } of peers) {
      if (peerId === this.#options.selfPeerId) continue
      const wanted = before.get(peerId)
      before.delete(peerId)
      if (wanted === undefined) this.#add(peerId, addresses)
      else this.#update(peerId, wanted, addresses)
    }
    for (const [peerId, wanted] of before) this.#forget(peerId, wanted)
  }

  onUp(peerId: string): void {
    const wanted = this.#wanted.get(peerId)
    if (wanted === undefined) return
    wanted.failures = 0
    wanted.strangers = 0
    wanted.timer?.cancel()
    wanted.timer = undefined
    wanted.dialling?.abort(new Error('connected'))
  }

  /** A connection of that peer is gone, whether it was up or not. */
  onDown(peerId: string): void {
    const wanted = this.#wanted.get(peerId)
    if (wanted === undefined || wanted.timer !== undefined || wanted.dialling !== undefined) return
    this.#schedule(peerId, wanted, this.#soonMs(peerId))
  }

  /**
   * Tries the addresses in order, side by side where one is slow; resolves with the first that answers and gives the
   * others up. Where a peer is named, who else answers does not count, though the connection stays when there was none to
   * it. Rejects with the AtollError of a refusal, 'conflict' when only others answered, or 'unavailable' with every reason.
   */
  async reach(
    addresses: readonly string[],
    peerId: string | undefined,
    signal: AbortSignal,
  ): Promise<{ address: string; attempt: DialAttempt }> {
    const others = new AbortController()
    const stop = AbortSignal.any([signal, others.signal])
    const failures: { address: string; error: unknown }[] = []
    let gate = Promise.resolve()
    const tries = addresses.map(async (address) => {
      const turn = gate
      const done = Promise.withResolvers<void>()
      gate = Promise.race([done.promise, turn.then(() => this.#options.clock.sleep(STAGGER_MS, stop))]).catch(() => {})
      try {
        await turn
        stop.throwIfAborted()
        return { address, attempt: await this.#dial(address, peerId, stop) }
      } catch (error) {
        failures.push({ address, error })
        throw error
      } finally {
        done.resolve()
      }
    })
    try {
      return await Promise.any(tries)
    } catch {
      throw signal.aborted && failures.length === 0 ? signal.reason : unreachable(failures, signal)
    } finally {
      others.abort(new Error('another address answered'))
    }
  }

  async #dial(address: string, peerId: string | undefined, signal: AbortSignal): Promise<DialAttempt> {
    const { attempt, error } = await this.#dials.dial(address, peerId, signal)
    const isStranger = peerId !== undefined && attempt.peerId !== undefined && attempt.peerId !== peerId
    // "Connected already" is as good, as long as one knows to whom.
    if (error !== undefined && !isStranger && attempt.refusal?.code !== 'conflict') throw attempt.refusal ?? error
    if (isStranger) throw new AtollError('conflict', `the address leads to another node, ${attempt.peerId}`)
    return attempt
  }

  close(): void {
    for (const [peerId, wanted] of [...this.#wanted]) this.#forget(peerId, wanted)
  }

  #add(peerId: string, addresses: readonly string[]): void {
    const wanted: Wanted = { addresses, failures: 0, strangers: 0, timer: undefined, dialling: undefined }
    this.#wanted.set(peerId, wanted)
    const { limits } = this.#options
    this.#schedule(peerId, wanted, this.#dialsFirst(peerId) ? 0 : limits.dialGraceFirstMs)
  }

  /** New addresses are tried soon: what failed before says nothing of them. */
  #update(peerId: string, wanted: Wanted, addresses: readonly string[]): void {
    const moved = addresses.some((address) => !wanted.addresses.includes(address))
    wanted.addresses = inOrder(addresses, wanted.addresses[0])
    if (!moved) return
    wanted.failures = 0
    wanted.strangers = 0
    if (wanted.timer !== undefined) this.#schedule(peerId, wanted, this.#soonMs(peerId))
  }

  #forget(peerId: string, wanted: Wanted): void {
    this.#wanted.delete(peerId)
    wanted.timer?.cancel()
    wanted.dialling?.abort(new Error('no longer wanted'))
  }

  #schedule(peerId: string, wanted: Wanted, delayMs: number): void {
    wanted.timer?.cancel()
    wanted.timer = this.#options.clock.after(delayMs, () => {
      wanted.timer = undefined
      void this.#attempt(peerId, wanted)
    })
  }

  /** Never rejects. */
  async #attempt(peerId: string, wanted: Wanted): Promise<void> {
    const { clock, limits, logger, connected } = this.#options
    if (connected(peerId)) return
    const beganMs = clock.nowMs()
    const dialling = new AbortController()
    const deadline = clock.deadline(limits.dialMs, dialling.signal)
    wanted.dialling = dialling
    try {
      const { address } = await this.reach(wanted.addresses, peerId, deadline.signal)
      wanted.addresses = inOrder(wanted.addresses, address)
    } catch (error) {
      if (isAtollError(error) && error.code === 'conflict' && wanted.strangers < MAX_STRANGERS) wanted.strangers++
      else wanted.failures++
      const { failures, strangers } = wanted
      logger.debug({ peerId, reason: messageOf(error), failures, strangers }, 'a dial failed')
    } finally {
      deadline.done()
      wanted.dialling = undefined
    }
    if (this.#wanted.get(peerId) !== wanted || connected(peerId)) return
    // From start to start: a dial that hung has waited already.
    const backoffMs = Math.min(limits.redialMaxMs, limits.redialMinMs * 2 ** Math.min(wanted.failures, 16))
    const leftMs = beganMs + this.#jitter(backoffMs) - clock.nowMs()
    this.#schedule(peerId, wanted, Math.max(leftMs, this.#jitter(limits.redialMinMs)))
  }

  /** Of two servers the smaller one dials; clients always do, since nobody dials them. */
  #dialsFirst(peerId: string): boolean {
    return this.#options.selfRole === 'client' || this.#options.selfPeerId < peerId
  }

  #soonMs(peerId: string): number {
    const { limits } = this.#options
    return this.#dialsFirst(peerId) ? this.#jitter(limits.redialMinMs) : limits.dialGraceMs
  }

  #jitter(ms: number): number {
    return ms * (0.75 + this.#options.random.float() / 2)
  }
}

/** `first` goes to the front when it is among them: it answered last time. */
const inOrder = (addresses: readonly string[], first: string | undefined): readonly string[] =>
  first !== undefined && addresses.includes(first)
    ? [first, ...addresses.filter((address) => address !== first)]
    : addresses

function unreachable(failures: readonly { address: string; error: unknown }[], signal: AbortSignal): AtollError {
  for (const { error } of failures) {
    if (error instanceof AtollError && error.code === 'forbidden') return error
  }
  const strangers = failures.some(({ error }) => error instanceof AtollError && error.code === 'conflict')
  const reasons = failures.map(
    ({ address, error }) => `${address}: ${signal.aborted ? messageOf(signal.reason) : messageOf(error)}`,
  )
  const code = strangers ? 'conflict' : 'unavailable'
  return new AtollError(code, reasons.length === 0 ? 'no address to dial' : reasons.join('; '))
}
