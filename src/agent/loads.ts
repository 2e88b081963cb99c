/**
 * How busy instances say that they are, and how much of that the catalog shows: each change there is a write, travels to
 * every datacenter and wakes who watches the service.
 */
import type { Clock, Timer } from '../runtime/ports.ts'
import { idKey } from './registry.ts'

/** A change as large as this is shown at once, if the last was long enough ago. */
const MATERIAL = 0.1
/** Between two changes that are shown of one instance. */
const SPACING_MS = 10_000
/** When a smaller change is shown. */
const DEFERRED_MS = 60_000
/** A load that nobody has confirmed for so long is forgotten. */
const VALID_MS = 300_000
/** Of what is shown: as fine as that. */
const STEPS = 100

interface Load {
  readonly serviceId: string
  reported: number
  shown: number | undefined
  shownAtMs: number
  dueMs: number
  show: Timer | undefined
  forget: Timer | undefined
}

export interface LoadsOptions {
  readonly clock: Clock
  /** What the catalog shows of a service has changed. */
  readonly changed: (serviceId: string) => void
}

export class Loads {
  readonly #options: LoadsOptions
  readonly #loads = new Map<string, Load>()

  constructor(options: LoadsOptions) {
    this.#options = options
  }

  /** What the catalog shows, in hundredths; undefined when nothing is known. */
  shown(serviceId: string): number | undefined {
    return this.#loads.get(idKey(serviceId))?.shown
  }

  /** `load` is within 0 and 1. */
  report(serviceId: string, load: number): void {
    const { clock } = this.#options
    const key = idKey(serviceId)
    const known = this.#loads.get(key) ?? this.#begin(key, serviceId)
    known.reported = Math.round(load * STEPS) / STEPS
    known.forget?.cancel()
    known.forget = clock.after(VALID_MS, () => {
      this.end(serviceId)
      this.#options.changed(serviceId)
    })
    this.#consider(known)
  }

  /** The service is gone, or nothing is known of its load any more. */
  end(serviceId: string): void {
    const known = this.#loads.get(idKey(serviceId))
    known?.show?.cancel()
    known?.forget?.cancel()
    this.#loads.delete(idKey(serviceId))
  }

  stop(): void {
    for (const { serviceId } of [...this.#loads.values()]) this.end(serviceId)
  }

  #begin(key: string, serviceId: string): Load {
    const load: Load = {
      serviceId,
      reported: 0,
      shown: undefined,
      shownAtMs: Number.NEGATIVE_INFINITY,
      dueMs: Number.POSITIVE_INFINITY,
      show: undefined,
      forget: undefined,
    }
    this.#loads.set(key, load)
    return load
  }

  #consider(load: Load): void {
    const { clock } = this.#options
    const nowMs = clock.nowMs()
    const dueMs = showAtMs(load, nowMs)
    // An earlier date stands: a change that is due is not put off by the ones that follow.
    if (dueMs >= load.dueMs && dueMs !== Number.POSITIVE_INFINITY) return
    load.show?.cancel()
    load.show = undefined
    load.dueMs = dueMs
    if (dueMs === Number.POSITIVE_INFINITY) return
    if (dueMs <= nowMs) this.#show(load)
    else load.show = clock.after(dueMs - nowMs, () => this.#show(load))
  }

  #show(load: Load): void {
    load.show = undefined
    load.dueMs = Number.POSITIVE_INFINITY
    load.shown = load.reported
    load.shownAtMs = this.#options.clock.nowMs()
    this.#options.changed(load.serviceId)
  }
}

/** When the catalog should show what was reported; never, when it does. */
function showAtMs({ reported, shown, shownAtMs }: Load, nowMs: number): number {
  if (reported === shown) return Number.POSITIVE_INFINITY
  const material = shown === undefined || Math.abs(reported - shown) >= MATERIAL - 1e-9
  return Math.max(nowMs, shownAtMs + (material ? SPACING_MS : DEFERRED_MS))
}
