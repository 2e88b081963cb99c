/**
 * How benchmarks tell what they measured: rows with their bar, as a markdown table, or as JSON for `all.ts`.
 *
 * On a machine that does other work at the same time, a latency says more of that than of what is measured. On Linux
 * `chrt -r 5 node test/bench/...` lets a benchmark and all that it starts go first.
 */
import { availableParallelism, loadavg } from 'node:os'
import { parseArgs } from 'node:util'

export interface Row {
  /** What was measured, and on what. */
  readonly what: string
  readonly measured: string
  readonly bar: string
  /** undefined: told for context, there is no bar. */
  readonly met: boolean | undefined
}

/** The value below which this share of the values lies; NaN for none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** `0.42`, `4.2`, `42`: as many digits as mean something. */
export const ms = (value: number): string => value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0)

/** `median 0.42 ms, p99 1.3 ms` */
export const spread = (values: readonly number[]): string =>
  `median ${ms(median(values))} ms, p99 ${ms(quantile(values, 0.99))} ms`

export function markdown(rows: readonly Row[]): string {
  const cells = rows.map(({ what, measured, bar, met }) => [
    what,
    measured,
    bar,
    met === undefined ? '' : met ? 'yes' : 'NO',
  ])
  return [['what', 'measured', 'bar', 'met'], ['---', '---', '---', '---'], ...cells]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n')
}

/** Ran others on this machine meanwhile? */
export const loadLine = (): string =>
  `load average ${loadavg()
    .map((load) => load.toFixed(1))
    .join(' ')} on ${availableParallelism()} cores`

export const note = (line: string): void => console.error(line)

/** The main part of a benchmark: runs it, prints its rows (`--json`: as JSON), and ends with 1 when a bar was missed. */
export async function report(run: () => Promise<readonly Row[]>): Promise<void> {
  const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } }, strict: false })
  note(loadLine())
  const rows = await run()
  note(loadLine())
  console.log(values.json ? JSON.stringify(rows) : markdown(rows))
  process.exitCode = rows.every(({ met }) => met !== false) ? 0 : 1
}
