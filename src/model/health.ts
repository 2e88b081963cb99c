import type { Status } from './entries.ts'

/** From best to worst. */
export const STATUSES: readonly Status[] = ['passing', 'warning', 'critical']

/** 0 for the best. */
export const statusRank = (status: Status): number => (status === 'passing' ? 0 : status === 'warning' ? 1 : 2)

export const worseOf = (a: Status, b: Status): Status => (statusRank(a) >= statusRank(b) ? a : b)

/** Worst of the statuses; passing when there is none. */
export function worstStatus(checks: Iterable<{ readonly status: Status }>): Status {
  let worst: Status = 'passing'
  for (const { status } of checks) {
    if (status === 'critical') return status
    if (status === 'warning') worst = status
  }
  return worst
}

export const isStatus = (value: unknown): value is Status =>
  value === 'passing' || value === 'warning' || value === 'critical'
