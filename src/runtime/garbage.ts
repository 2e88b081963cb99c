import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Clock, Timer } from './ports.ts'

/** Of the young generation, before it is let grow no more: it doubles, so that it has twice that at most. */
const MAX_YOUNG_BYTES = 16_000_000
/** Buffers that may come on top of those that were there after the last collection. */
const MAX_BUFFER_BYTES = 8_000_000
/** While buffers pile up: garbage of the old generation that may lie about beside what lives, by V8's measure. */
const GROWTH_PERCENT = 20
/**
 * In a larger heap V8 decides: it may take a chance to collect all of it at once, for 200 ms, and some ten megabytes are little to
 * such a node.
 */
const MAX_HEAP_BYTES = 150_000_000
const LOOK_MS = 100
/** For how many looks after buffers piled up. */
const PRESSED_LOOKS = 10

export interface GarbageBounds {
  readonly maxYoungBytes: number
  readonly maxBufferBytes: number
}

/**
 * Keeps the garbage of a small process small. By itself V8 lets the young generation of a busy one grow to 128 MB, all of it
 * resident; collects the old one when it is several times as large as what lived in it; and counts buffers that were read from
 * sockets as little, 64 MB of them: so a peer that floods, or a load that passes, would make a node larger by 100 MB and more
 * (docs/federation-protocol.md). The old generation is kept tight only while buffers pile up: a node that writes many keys would
 * answer some of them 3 ms later. For the whole process, until it is cancelled.
 */
export function boundGarbage(clock: Pick<Clock, 'every'>, bounds: Partial<GarbageBounds> = {}): Timer {
  const { maxYoungBytes = MAX_YOUNG_BYTES, maxBufferBytes = MAX_BUFFER_BYTES } = bounds
  const collect = youngCollector()
  const youngGrows = flag((may) => `--semi-space-growth-factor=${may ? 2 : 1}`)
  const oldGrows = flag((may) => `--heap-growing-percent=${may ? 0 : GROWTH_PERCENT}`)
  // Whole pages of the young generation that become old ones are filled up with garbage, and replaced: 25 MB under a flood.
  const promotesPages = flag((may) => (may ? '--page-promotion' : '--no-page-promotion'))
  let leastBytes = Number.POSITIVE_INFINITY
  let pressedLooks = 0
  const collectBuffers = (bytes: number): void => {
    leastBytes = Math.min(leastBytes, bytes)
    pressedLooks = Math.max(0, pressedLooks - 1)
    if (bytes - leastBytes < maxBufferBytes) return
    collect()
    pressedLooks = PRESSED_LOOKS
    // What is left is known when it was swept.
    leastBytes = Number.POSITIVE_INFINITY
  }
  const timer = clock.every(LOOK_MS, () => {
    const { external_memory: bufferBytes, used_heap_size: heapBytes } = getHeapStatistics()
    if (heapBytes <= MAX_HEAP_BYTES) collectBuffers(bufferBytes)
    else pressedLooks = 0
    const isPressed = pressedLooks > 0
    youngGrows(youngBytes() < maxYoungBytes / (isPressed ? 2 : 1))
    oldGrows(!isPressed)
    promotesPages(!isPressed)
  })
  return {
    cancel() {
      timer.cancel()
      for (const letFree of [youngGrows, oldGrows, promotesPages]) letFree(true)
    },
  }
}

/** A flag of V8, set when what V8 may do changes; at first it may. */
function flag(named: (may: boolean) => string): (may: boolean) => void {
  let current = true
  return (may) => {
    if (may !== current) setFlagsFromString(named(may))
    current = may
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
