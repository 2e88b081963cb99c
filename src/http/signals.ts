/** One signal for several, without leaving listeners on those that live long. */
export function linkSignals(...signals: AbortSignal[]): { signal: AbortSignal; done(): void } {
  const controller = new AbortController()
  const onAbort = (): void => {
    const reason = signals.find(({ aborted }) => aborted)?.reason
    controller.abort(reason)
  }
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason)
    else signal.addEventListener('abort', onAbort)
  }
  return {
    signal: controller.signal,
    done() {
      for (const signal of signals) signal.removeEventListener('abort', onAbort)
    },
  }
}
