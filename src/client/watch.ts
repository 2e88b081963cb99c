/** Following an answer by blocking calls, with the rules that keep a watcher correct and polite. */
import type { Answer } from './answer.ts'
import { type ClientError, isClientError } from './error.ts'
import { backoffMs, pause } from './pause.ts'

/** What the watch gives to each call; pass it on as options. */
export interface Blocking {
  readonly index: number
  readonly waitMs: number
  readonly signal?: AbortSignal
}

export interface WatchOptions {
  /** How long one call may wait; 60,000 by default, at most 600,000. */
  readonly waitMs?: number
  readonly signal?: AbortSignal
  /** Delay after the first of several failures, doubled by each; 200 by default. */
  readonly minBackoffMs?: number
  /** 30,000 by default. */
  readonly maxBackoffMs?: number
  /** Told of each failure that is waited out. */
  readonly onError?: (error: ClientError, retryInMs: number) => void
}

/** Errors that another attempt does not mend; everything else is waited out. */
const LASTING = new Set<ClientError['code']>([
  'invalid',
  'forbidden',
  'unsupported',
  'too-large',
  'aborted',
  'bad-answer',
])

/**
 * The answer at once, then each time that its index changes, until the signal fires (then the iteration just ends).
 * An index that goes back (another history) makes it start over. Throws ClientError only for what lasts.
 *
 * `for await (const { value } of watch((b) => client.health.service('web', { passing: true, ...b }))) ...`
 */
export async function* watch<T>(
  read: (blocking: Blocking) => Promise<Answer<T>>,
  options: WatchOptions = {},
): AsyncGenerator<Answer<T>, void, undefined> {
  const { signal, waitMs = 60_000, minBackoffMs = 200, maxBackoffMs = 30_000 } = options
  let index = 0
  let failures = 0
  let idle = 0
  let last: number | undefined
  while (!signal?.aborted) {
    const startedAt = performance.now()
    let answer: Answer<T>
    try {
      answer = await read({ index, waitMs, ...(signal ? { signal } : {}) })
    } catch (error) {
      if (signal?.aborted) return
      if (!isClientError(error) || LASTING.has(error.code)) throw error
      const delayMs = Math.max(error.retryAfterMs ?? 0, backoffMs(failures++, minBackoffMs, maxBackoffMs))
      options.onError?.(error, delayMs)
      await pause(delayMs, signal)
      continue
    }
    failures = 0
    const changed = answer.meta.index !== last
    const asked = index
    last = answer.meta.index
    index = nextIndex(asked, last)
    if (changed) {
      idle = 0
      yield answer
    } else if (asked > 0 && performance.now() - startedAt < Math.min(1000, waitMs / 2)) {
      // Answers at once without a change: whatever the reason, do not spin.
      await pause(backoffMs(idle++, minBackoffMs, maxBackoffMs), signal)
    }
  }
}

/** The index to wait on next: 0 starts over, and an answer without an index must not make the next call return at once. */
export function nextIndex(asked: number, answered: number): number {
  const at = Math.max(1, answered)
  return at < asked ? 0 : at
}
