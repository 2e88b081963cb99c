import type { Clock } from '../runtime/ports.ts'

/** Lets others have the event loop: `await breathe()` in long work gives it up once `sliceMs` were used. */
export function pace(clock: Clock, sliceMs = 4): () => Promise<void> | undefined {
  let sinceMs = clock.nowMs()
  return () => {
    if (clock.nowMs() - sinceMs < sliceMs) return undefined
    return clock.sleep(0).then(() => {
      sinceMs = clock.nowMs()
    })
  }
}
