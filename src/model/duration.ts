import { AtollError } from './errors.ts'

const UNIT_MS: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Milliseconds of a duration as Go writes it ("1m30s", "1.5h", "-2ms", "0"); undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const match = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0)$/.exec(text)
  if (!match) return undefined
  let sum = 0
  for (const [, number, unit] of match[2]!.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    sum += Number(number) * UNIT_MS[unit!]!
  }
  return match[1] === '-' ? -sum : sum
}

/** As `parseDuration`, with an error that names the field. */
export function requireDuration(text: string, field: string): number {
  const ms = parseDuration(text)
  if (ms === undefined)
    throw new AtollError('invalid', `${field}: "${text}" is no duration; write it like "10s" or "1m30s"`, { field })
  return ms
}

/** As Go prints a duration: "1m30s", "250ms", "0s". */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s'
  const sign = ms < 0 ? '-' : ''
  const abs = Math.abs(ms)
  const trim = (value: number, digits: number): string => String(Number(value.toFixed(digits)))
  if (abs < 1e-3) return `${sign}${trim(abs * 1e6, 0)}ns`
  if (abs < 1) return `${sign}${trim(abs * 1e3, 3)}µs`
  if (abs < 1000) return `${sign}${trim(abs, 6)}ms`
  const hours = Math.floor(abs / 3_600_000)
  const minutes = Math.floor((abs % 3_600_000) / 60_000)
  const seconds = trim((abs % 60_000) / 1000, 9)
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}s`
  if (minutes > 0) return `${sign}${minutes}m${seconds}s`
  return `${sign}${seconds}s`
}
