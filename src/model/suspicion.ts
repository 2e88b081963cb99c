/**
 * How long a suspicion lasts before it is acted on. Others who came to the same one by themselves make it shorter, each a little
 * less than the one before: dynamic suspicion timeouts of Lifeguard (2018), with the logarithm that memberlist uses.
 */
export interface SuspicionBounds {
  /** With nobody to agree. */
  readonly maxMs: number
  /** With `enough` others, or more. */
  readonly minMs: number
}

/** `confirmations`: of those whom one could ask, `enough` is how many make certain. Milliseconds from the begin of the suspicion. */
export function suspicionMs({ maxMs, minMs }: SuspicionBounds, confirmations: number, enough: number): number {
  if (enough < 1 || confirmations < 1) return maxMs
  const share = Math.log(Math.min(confirmations, enough) + 1) / Math.log(enough + 1)
  return maxMs - share * (maxMs - minMs)
}
