/** How long the event loop of this process is held up, and how much memory it takes. */
import { readFileSync } from 'node:fs'

export interface Watched {
  /** Longest time for which no timer could run, by the wall clock: what else runs on the machine counts too. */
  readonly stallMs: number
  /** The same by the CPU time that this thread used meanwhile; undefined where the runtime does not tell it. */
  readonly busyMs: number | undefined
  /** Times above 20 ms. */
  readonly over: number
  /** Longest collection of garbage, where the runtime tells it. */
  readonly collectMs: number | undefined
  /** Highest resident memory so far. */
  readonly peakMb: number
}

const LIMIT_MS = 20

const threadCpuMs = (): number | undefined => {
  // Not in the types of every runtime, nor in Deno 2.9 and Bun 1.4.
  const { threadCpuUsage } = process as { threadCpuUsage?: () => { user: number; system: number } }
  if (!threadCpuUsage) return undefined
  const { user, system } = threadCpuUsage.call(process)
  return (user + system) / 1000
}

/** Starts to watch; the returned function tells what was seen since it was called last. */
export function watchLoop(): () => Watched {
  let seen = { stallMs: 0, busyMs: 0, over: 0, collectMs: 0 }
  let lastMs = performance.now()
  let lastCpuMs = threadCpuMs()
  const tick = (): void => {
    const nowMs = performance.now()
    const cpuMs = threadCpuMs()
    const stallMs = nowMs - lastMs - 1
    seen.stallMs = Math.max(seen.stallMs, stallMs)
    if (stallMs > LIMIT_MS) seen.over++
    if (cpuMs !== undefined) seen.busyMs = Math.max(seen.busyMs, cpuMs - lastCpuMs!)
    lastMs = nowMs
    lastCpuMs = cpuMs
    setTimeout(tick, 1)
  }
  setTimeout(tick, 1)
  let collects = false
  try {
    const observer = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) seen.collectMs = Math.max(seen.collectMs, duration)
    })
    observer.observe({ entryTypes: ['gc'] })
    collects = PerformanceObserver.supportedEntryTypes.includes('gc')
  } catch {}
  return () => {
    const { busyMs, collectMs, ...rest } = seen
    seen = { stallMs: 0, busyMs: 0, over: 0, collectMs: 0 }
    return {
      ...rest,
      busyMs: lastCpuMs === undefined ? undefined : busyMs,
      collectMs: collects ? collectMs : undefined,
      peakMb: Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) / 1024,
    }
  }
}
