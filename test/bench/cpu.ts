/** What processes, and the machine, have used of its cores. Linux only: elsewhere there are no figures. */
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'

/** Of `/proc`, on every machine that Linux runs on by default. */
const TICKS_PER_SECOND = 100

export interface CpuTimes {
  readonly atMs: number
  /** Seconds of CPU that each process has used, by its id. */
  readonly seconds: ReadonlyMap<number, number>
  /** Share of all cores' time since the machine started: busy and all. */
  readonly busy: number
  readonly total: number
}

export async function cpuTimes(pids: Iterable<number>): Promise<CpuTimes> {
  const seconds = new Map<number, number>()
  for (const pid of pids) {
    const used = await secondsOf(pid)
    if (used !== undefined) seconds.set(pid, used)
  }
  const fields = (await readFile('/proc/stat', 'utf8')).split('\n')[0]!.trim().split(/\s+/).slice(1, 9).map(Number)
  const total = fields.reduce((sum, each) => sum + each, 0)
  return { atMs: performance.now(), seconds, busy: total - fields[3]! - fields[4]!, total }
}

async function secondsOf(pid: number): Promise<number | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13)
      .map(Number)
    return (user! + system!) / TICKS_PER_SECOND
  } catch {
    return undefined
  }
}

export interface CpuShare {
  /** Of all cores together, by the processes asked for; those that ended meanwhile count up to where they were last seen. */
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
