/** Prints what heap a process has on average whose objects live for a while, and that reads much; its garbage is bounded when told so. */
import { systemClock } from '../../src/runtime/clock.ts'
import { boundGarbage } from '../../src/runtime/garbage.ts'

const ROUNDS = 800
/** By then a heap that is not bounded has grown. */
const FIRST_COUNTED = 320

const bound = process.argv[2] === 'true' ? boundGarbage(systemClock) : undefined
let sumBytes = 0
let kept: object[][] = []
for (let i = 0; i < ROUNDS; i++) {
  kept.push(Array.from({ length: 10_000 }, (_, j) => ({ i, j, text: `x${j}` })))
  if (kept.length > 15) kept = kept.slice(1)
  for (let j = 0; j < 8; j++) Buffer.allocUnsafeSlow(64 << 10)
  await systemClock.sleep(1)
  if (i >= FIRST_COUNTED) sumBytes += process.memoryUsage().heapTotal
}
bound?.cancel()
console.log(Math.round(sumBytes / (ROUNDS - FIRST_COUNTED)))
