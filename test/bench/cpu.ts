/** What processes, and the machine, have used of its cores. Linux only: elsewhere there are no figures. */
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'

/** Of `/proc`, on every machine that Linux runs on by default. */
const TICKS_PER_SECOND = 100

export interface CpuTimes {
  readonly atMs: number
  /** Seconds of CPU that each process has used, by its id. */
  readonly seconds: ReadonlyMap<number, number>
  /** Seconds that children of this process had used in all when they ended, whatever they were. */
  readonly endedSeconds: number
  /** Share of all cores' time since the machine started: busy and all. */
  readonly busy: number
  readonly total: number
}

export async function cpuTimes(pids: Iterable<number>): Promise<CpuTimes> {
  const seconds = new Map<number, number>()
  for (const pid of pids) {
    const used = await usedBy(pid)
    if (used !== undefined) seconds.set(pid, used.own)
  }
  const fields = (await readFile('/proc/stat', 'utf8')).split('\n')[0]!.trim().split(/\s+/).slice(1, 9).map(Number)
  const total = fields.reduce((sum, each) => sum + each, 0)
  const endedSeconds = (await usedBy('self'))?.endedChildren ?? 0
  return { atMs: performance.now(), seconds, endedSeconds, busy: total - fields[3]! - fields[4]!, total }
}

/** Seconds of CPU that a process has used, and that its children had used in all when they ended; undefined when there is none. */
async function usedBy(pid: number | 'self'): Promise<{ own: number; endedChildren: number } | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const [user, system, childrenUser, childrenSystem] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 15)
      .map(Number)
    const secondsOf = (a: number, b: number): number => (a + b) / TICKS_PER_SECOND
    return { own: secondsOf(user!, system!), endedChildren: secondsOf(childrenUser!, childrenSystem!) }
  } catch {
    return undefined
  }
}

export interface CpuShare {
  /** Of all cores together, by the processes asked for; those that ended meanwhile do not count. */
  readonly processes: number
  /** By everything on the machine. */
  readonly machine: number
}

/** Shares from 0 to 1 between two looks. */
export function cpuShare(from: CpuTimes, to: CpuTimes): CpuShare {
  let used = 0
  for (const [pid, seconds] of to.seconds) used += seconds - (from.seconds.get(pid) ?? 0)
  const passedSeconds = (to.atMs - from.atMs) / 1000
  return {
    processes: used / (passedSeconds * availableParallelism()),
    machine: (to.busy - from.busy) / Math.max(1, to.total - from.total),
  }
}

/**
 * Like `cpuShare` where all processes asked for are children of this one: those that ended meanwhile count too, whether
 * they were there at the first look or came later. So does whatever else this process started and saw the end of.
 */
export function cpuShareWithEnded(from: CpuTimes, to: CpuTimes): CpuShare {
  const all = ({ seconds, endedSeconds }: CpuTimes): number =>
    [...seconds.values()].reduce((sum, each) => sum + each, endedSeconds)
  const passedSeconds = (to.atMs - from.atMs) / 1000
  return {
    processes: (all(to) - all(from)) / (passedSeconds * availableParallelism()),
    machine: cpuShare(from, to).machine,
  }
}
