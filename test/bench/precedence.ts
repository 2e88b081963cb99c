/**
 * On a machine that others use at the same time a latency says more of them than of what is measured. With
 * ATOLL_BENCH_NICE=-15 (and the right to do so) the processes that take part are scheduled before all others.
 */
import { writeFileSync } from 'node:fs'
import { setPriority } from 'node:os'

const nice = Number(process.env.ATOLL_BENCH_NICE ?? 0)

/** Does nothing where it is not asked for, or not allowed. */
export function prefer(pid: number | undefined): void {
  if (nice === 0 || pid === undefined) return
  try {
    setPriority(pid, nice)
    // Linux weighs sessions first, and processes within them.
    writeFileSync(`/proc/${pid}/autogroup`, String(nice))
  } catch {}
}
