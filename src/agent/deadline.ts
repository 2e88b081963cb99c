import type { Clock } from '../runtime/ports.ts'

/**
 * What `fn` gives, or a rejection with the reason of the signal that it is handed: an AtollError 'timeout' after
 * `timeoutMs`, or what `parent` was aborted with, whether `fn` heeds the signal or not.
 */
export async function withDeadline<T>(
  clock: Clock,
  timeoutMs: number,
  parent: AbortSignal | undefined,
  fn: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { signal, done } = clock.deadline(timeoutMs, parent)
  const aborted = Promise.withResolvers<never>()
  // Whichever loses the race must not be an unhandled rejection.
  aborted.promise.catch(() => {})
  const onAbort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    return await Promise.race([fn(signal), aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
    done()
  }
}
