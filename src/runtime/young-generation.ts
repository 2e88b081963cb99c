import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Clock, Timer } from './ports.ts'

/**
 * What V8 let it have until its version 12. With more, writes alone take less work (a fifth at 32 MB), and a flood twice the
 * memory (docs/federation-protocol.md).
 */
const MAX_BYTES = 16_000_000
/** Buffers that may come on top of those that were there after the last collection. */
const MAX_EXTERNAL_BYTES = 8_000_000
/** In a larger heap V8 may take the chance to collect all of it at once, for 200 ms, and 64 MB are little to such a node. */
const MAX_HEAP_BYTES = 150_000_000
const LOOK_MS = 100

/**
 * Keeps V8's young generation at some 16 MB, up to twice that for a moment. By itself V8 lets that of a busy process grow
 * to 128 MB, all of it resident and most of it garbage: so a peer that floods, or a load that passes, would make a node
 * 100 MB larger. And collects it when buffers of some megabytes were added: they are little to V8, which lets 64 MB of those
 * that were read from sockets lie about. For the whole process, until it is cancelled.
 */
export function boundYoungGeneration(
  clock: Pick<Clock, 'every'>,
  maxBytes = MAX_BYTES,
  maxExternalBytes = MAX_EXTERNAL_BYTES,
): Timer {
  const collect = youngCollector()
  let leastBytes = Number.POSITIVE_INFINITY
  const collectBuffers = (): void => {
    const { external_memory: bytes, used_heap_size: heapBytes } = getHeapStatistics()
    if (heapBytes > MAX_HEAP_BYTES) return
    leastBytes = Math.min(leastBytes, bytes)
    if (bytes - leastBytes < maxExternalBytes) return
    collect()
    // What is left is known when it was swept.
    leastBytes = Number.POSITIVE_INFINITY
  }
  let grows = true
  const letGrow = (may: boolean): void => {
    if (may !== grows) setFlagsFromString(`--semi-space-growth-factor=${may ? 2 : 1}`)
    grows = may
  }
  const timer = clock.every(LOOK_MS, () => {
    letGrow(youngBytes() < maxBytes)
    collectBuffers()
  })
  return {
    cancel() {
      timer.cancel()
      letGrow(true)
    },
  }
}

/** What the young generation of this thread has of memory. */
export const youngBytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? 0

/** Collects the young generation alone: a millisecond or so. */
function youngCollector(): () => void {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as (options: { type: 'minor' }) => void
  setFlagsFromString('--no-expose-gc')
  return () => gc({ type: 'minor' })
}
