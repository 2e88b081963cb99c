import type { Clock, Timer } from './ports.ts'
import { deadlineOn, sleepOn } from './timing.ts'

/** `setTimeout` takes 32 bits; beyond that it would fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

/** The machine's clock; the same on all three runtimes. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after,
  every(periodMs, fn) {
    // Due times are multiples of the period, so that late timers do not add up; periods that were missed are skipped.
    let dueMs = performance.now() + periodMs
    let timer = after(periodMs, tick)
    function tick(): void {
      const nowMs = performance.now()
      dueMs += periodMs
      if (dueMs <= nowMs) dueMs = nowMs + periodMs
      timer = after(dueMs - nowMs, tick)
      fn()
    }
    return { cancel: () => timer.cancel() }
  },
  sleep: (delayMs, signal) => sleepOn(systemClock, delayMs, signal),
  deadline: (delayMs, parent) => deadlineOn(systemClock, delayMs, parent),
}

function after(delayMs: number, fn: () => void): Timer {
  const endMs = performance.now() + delayMs
  let handle = setTimeout(onTimer, Math.min(Math.max(delayMs, 0), MAX_TIMEOUT_MS))
  function onTimer(): void {
    const leftMs = endMs - performance.now()
    // Timers may fire a fraction early; only the rest of a very long delay is worth another one.
    if (leftMs > 1) handle = setTimeout(onTimer, Math.min(leftMs, MAX_TIMEOUT_MS))
    else fn()
  }
  return { cancel: () => clearTimeout(handle) }
}
