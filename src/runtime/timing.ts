import { AtollError } from '../model/errors.ts'
import type { Clock } from './ports.ts'

/** `Clock.sleep` for any clock that has `after`. */
export function sleepOn(clock: Pick<Clock, 'after'>, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = (): void => {
      timer.cancel()
      reject(signal!.reason)
    }
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** `Clock.deadline` for any clock that has `after`. */
export function deadlineOn(
  clock: Pick<Clock, 'after'>,
  delayMs: number,
  parent?: AbortSignal,
): { signal: AbortSignal; done(): void } {
  const controller = new AbortController()
  if (parent?.aborted) {
    controller.abort(parent.reason)
    return { signal: controller.signal, done() {} }
  }
  const onAbort = (): void => {
    timer.cancel()
    controller.abort(parent!.reason)
  }
  const done = (): void => {
    timer.cancel()
    parent?.removeEventListener('abort', onAbort)
  }
  const timer = clock.after(delayMs, () => {
    done()
    controller.abort(new AtollError('timeout', `no answer within ${Math.round(delayMs)} ms`))
  })
  parent?.addEventListener('abort', onAbort, { once: true })
  return { signal: controller.signal, done }
}
