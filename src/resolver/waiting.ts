/** Blocking queries: an answer that is newer than the index that its caller has seen, or the same again when the time is up. */
import type { Clock, Random } from '../runtime/ports.ts'
import { type Cell, type Evaluation, mustWait } from './cells.ts'
import { type AskOptions, boundedWaitMs, JITTER_FRACTION } from './mesh.ts'

/**
 * Numbers of answers that may change DC end with the process that counted them: one that is higher than the own DC's index
 * may be such, and what it stood for may be over. So long is waited for it to be reached all the same.
 */
const FOREIGN_INDEX_MS = 2_000

/** What a question waits on. */
export interface Waited {
  readonly cell: Cell
  /** What has to be waited for before the cell can be evaluated. */
  readonly ready?: () => Promise<unknown> | undefined
}

/** `moving`: the answer may come from one DC now and from another later. Waits no longer than `options.waitMs` and its jitter. */
export async function newerThan(
  { cell, ready }: Waited,
  moving: boolean,
  options: AskOptions,
  clock: Clock,
  random: Random,
): Promise<Evaluation> {
  const { index, signal } = options
  const first = cell.current()
  if (index === undefined || !mustWait(first, moving, index)) return first
  const askedMs = boundedWaitMs(options.waitMs)
  const waitMs = moving && first.index < index ? Math.min(askedMs, FOREIGN_INDEX_MS) : askedMs
  const deadline = clock.deadline(waitMs + (random.float() * waitMs) / JITTER_FRACTION, signal)
  let evaluation = first
  try {
    while (!deadline.signal.aborted) {
      await cell.changed(evaluation, deadline.signal)
      await ready?.()
      const next = cell.current()
      if (next.index !== index && next.index !== first.index) return next
      evaluation = next
    }
    return evaluation
  } finally {
    deadline.done()
  }
}
