/** Many seeds after one another. */
import type { Coverage } from './coverage.ts'
import { hashOfHashes } from './trace.ts'
import { World } from './world.ts'

export interface SeedsOptions {
  readonly from: number
  readonly seeds: number
  readonly steps: number
  readonly datacenters?: number
  readonly gateways?: number
  readonly coverage: Coverage
  readonly print?: (line: string) => void
  readonly onSeed?: (seed: number, failures: number) => void
  /** Ends early at so many failures. Default: none. */
  readonly maxFailures?: number
}

export interface Failure {
  readonly seed: number
  readonly atMs: number
  readonly message: string
}

export interface SeedsReport {
  readonly seeds: number
  readonly steps: number
  readonly events: number
  readonly virtualMs: number
  readonly longestSettleMs: number
  readonly failures: readonly Failure[]
  readonly hash: string
}

export function runSeeds(options: SeedsOptions): SeedsReport {
  const { from, seeds, steps, coverage, maxFailures = Number.POSITIVE_INFINITY } = options
  const failures: Failure[] = []
  const hashes: string[] = []
  const sum = { steps: 0, events: 0, virtualMs: 0, longestSettleMs: 0 }
  let done = 0
  for (let seed = from; seed < from + seeds && failures.length < maxFailures; seed++) {
    const { datacenters, gateways, print } = options
    const world = new World({ seed, coverage, datacenters, gateways, print })
    try {
      const outcome = world.run(steps)
      hashes.push(outcome.hash)
      sum.steps += outcome.steps
      sum.events += outcome.events
      sum.virtualMs += outcome.virtualMs
      sum.longestSettleMs = Math.max(sum.longestSettleMs, outcome.settleMs)
    } catch (error) {
      // Whatever a state machine throws is a violation too.
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
      failures.push({ seed, atMs: Math.round(world.nowMs), message })
    }
    done++
    options.onSeed?.(seed, failures.length)
  }
  return { seeds: done, ...sum, failures, hash: hashOfHashes(hashes) }
}
