import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { systemClock } from './clock.ts'
import { boundGarbage, youngBytes } from './garbage.ts'

const run = promisify(execFile)
const PROGRAM = join(import.meta.dirname, '../../test/support/garbage-child.ts')
const { bun, deno } = process.versions as Record<string, string | undefined>

/** Much garbage, of which a part lives for a while: what makes V8 enlarge the young generation. Gives timers their turn. */
async function burn(): Promise<number> {
  let most = 0
  let kept: object[] = []
  for (let i = 1; i <= 1_500_000; i++) {
    kept.push({ i, text: `x${i}` })
    if (kept.length > 50_000) kept = kept.slice(25_000)
    if (i % 10_000 !== 0) continue
    await systemClock.sleep(2)
    most = Math.max(most, youngBytes())
  }
  return most
}

// Node's: of the others one has no V8, and one no such flags.
it.skipIf(bun !== undefined || deno !== undefined)(
  'is bounded on Node while much is allocated, and free again afterwards',
  async () => {
    const bound = boundGarbage(systemClock, { maxYoungBytes: 4_000_000 })
    const bounded = await burn()
    expect(bounded).toBeLessThan(34_000_000)
    bound.cancel()
    expect(await burn()).toBeGreaterThanOrEqual(2 * bounded)
  },
)

it.skipIf(bun !== undefined || deno !== undefined)(
  'holds no more buffers that nobody has any more than some megabytes',
  async () => {
    const bound = boundGarbage(systemClock)
    let most = 0
    const beforeBytes = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 200; i++) {
      for (let j = 0; j < 4; j++) Buffer.allocUnsafeSlow(64 << 10)
      await systemClock.sleep(5)
      most = Math.max(most, process.memoryUsage().arrayBuffers - beforeBytes)
    }
    bound.cancel()
    expect(most).toBeGreaterThan(2_000_000)
    expect(most).toBeLessThan(28_000_000)
  },
)

it.skipIf(bun !== undefined || deno !== undefined)(
  'holds little more than what lives of objects that live for a while',
  async () => {
    const mean = async (bounded: boolean): Promise<number> => {
      const { stdout } = await run(process.execPath, [PROGRAM, String(bounded)])
      return Number(stdout)
    }
    const bounded = await mean(true)
    // Some 160 MB against 55 (on a busy machine) to 110.
    expect(await mean(false)).toBeGreaterThan(1.25 * bounded)
  },
)
