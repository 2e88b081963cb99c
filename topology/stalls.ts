/** When the event loop of a child stood still, so that who measures a mesh can tell a wait of Atoll from one of the machine. */

/** `ms` until `endedWallMs`, in milliseconds since 1970: the clock that all processes of a machine share. */
export interface Stall {
  readonly endedWallMs: number
  readonly ms: number
}

const EVERY_MS = 50
/** A shorter one is no news. */
const TELL_FROM_MS = 100
/** The oldest give way. */
const MAX_STALLS = 2000

/** Calls `onStall` after each time that the loop stood still for a tenth of a second or longer, for as long as the process runs. */
export function watchStalls(onStall: (stall: Stall) => void): void {
  let dueMs = performance.now() + EVERY_MS
  const look = (): void => {
    const lateMs = performance.now() - dueMs
    if (lateMs >= TELL_FROM_MS) onStall({ endedWallMs: Date.now(), ms: Math.round(lateMs) })
    dueMs = performance.now() + EVERY_MS
    setTimeout(look, EVERY_MS).unref()
  }
  setTimeout(look, EVERY_MS).unref()
}

/** What one process told. */
export class Stalls {
  readonly #all: Stall[] = []

  add(stall: Stall): void {
    if (this.#all.length >= MAX_STALLS) this.#all.shift()
    this.#all.push(stall)
  }

  /** For how long its loop stood still between the two moments, in milliseconds since 1970. */
  within(fromWallMs: number, toWallMs: number): number {
    let sum = 0
    for (const { endedWallMs, ms } of this.#all)
      sum += Math.max(0, Math.min(endedWallMs, toWallMs) - Math.max(endedWallMs - ms, fromWallMs))
    return sum
  }
}
