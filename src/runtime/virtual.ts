import type { Clock, Random, Timer } from './ports.ts'
import { deadlineOn, sleepOn } from './timing.ts'

interface Pending {
  readonly dueMs: number
  readonly order: number
  readonly fn: () => void
}

/**
 * A clock that stands still until it is told to advance. Timers fire in order of their due time, those due at the
 * same time in order of creation; after each, promises that it settled run before time goes on.
 */
export class VirtualClock implements Clock {
  #nowMs: number
  readonly #wallOffsetMs: number
  #order = 0
  readonly #pending = new Set<Pending>()

  constructor(options: { startMs?: number; wallMs?: number } = {}) {
    this.#nowMs = options.startMs ?? 0
    this.#wallOffsetMs = (options.wallMs ?? 1_700_000_000_000) - this.#nowMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return Math.floor(this.#nowMs + this.#wallOffsetMs)
  }

  after(delayMs: number, fn: () => void): Timer {
    const pending: Pending = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, fn }
    this.#pending.add(pending)
    return { cancel: () => void this.#pending.delete(pending) }
  }

  every(periodMs: number, fn: () => void): Timer {
    const tick = (): void => {
      timer = this.after(periodMs, tick)
      fn()
    }
    let timer = this.after(periodMs, tick)
    return { cancel: () => timer.cancel() }
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal)
  }

  deadline(delayMs: number, parent?: AbortSignal): { signal: AbortSignal; done(): void } {
    return deadlineOn(this, delayMs, parent)
  }

  /** Timers that wait: a test can assert that none leaked. */
  get pendingTimers(): number {
    return this.#pending.size
  }

  /** When the next timer is due; undefined when none waits. */
  get nextDueMs(): number | undefined {
    return this.#next()?.dueMs
  }

  /** Moves time on by `ms`, running what falls due on the way, also what that work schedules within the span. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    await settle()
    for (let next = this.#next(); next !== undefined && next.dueMs <= endMs; next = this.#next()) {
      this.#pending.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      next.fn()
      await settle()
    }
    this.#nowMs = endMs
  }

  /** As when the process was stopped: time goes by and no timer fires; those that fell due do so, late, with the next advance. */
  stall(ms: number): void {
    this.#nowMs += ms
  }

  #next(): Pending | undefined {
    let first: Pending | undefined
    for (const pending of this.#pending) {
      if (!first || pending.dueMs < first.dueMs || (pending.dueMs === first.dueMs && pending.order < first.order)) {
        first = pending
      }
    }
    return first
  }
}

/** Lets every promise that is settled by now run its continuations, and those that these settle. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** The same sequence for the same seed, on every runtime. sfc32 (Chris Doty-Humphrey, PractRand). Not for secrets. */
export class SeededRandom implements Random {
  #a: number
  #b: number
  #c = 1
  #counter = 1

  constructor(seed: number) {
    this.#a = seed >>> 0
    this.#b = Math.floor(seed / 2 ** 32) >>> 0
    for (let i = 0; i < 12; i++) this.#next()
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) bytes[i] = this.#next() & 0xff
    return bytes
  }

  float(): number {
    return this.#next() / 2 ** 32
  }

  uuid(): string {
    const bytes = this.bytes(16)
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  }

  #next(): number {
    const result = (this.#a + this.#b + this.#counter) >>> 0
    this.#counter = (this.#counter + 1) >>> 0
    this.#a = (this.#b ^ (this.#b >>> 9)) >>> 0
    this.#b = (this.#c + (this.#c << 3)) >>> 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) >>> 0
    return result
  }
}
