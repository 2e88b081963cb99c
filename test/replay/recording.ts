/** The recordings as data: what was sent to Consul, in order, and what it answered. */
import { readFileSync } from 'node:fs'

/** Parsed JSON, or `{text}`, `{base64}`, `{length, sha256}`, `{shape}`, `{closed}`. */
export type RecordedBody = unknown

export interface RecordedRequest {
  readonly method: string
  readonly path: string
  readonly pathTemplate?: string
  readonly requestHeaders?: Readonly<Record<string, string>>
  readonly requestBody?: RecordedBody
  readonly requestBodyTemplate?: RecordedBody
  /** The datacenter whose agent is asked; dc1's unless given. */
  readonly agent?: string
}

export interface Step extends RecordedRequest {
  readonly name: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: RecordedBody
  readonly delayMs?: number
  readonly elapsedMs?: number
  /** Requests of a second client while this one waited. */
  readonly during?: readonly (RecordedRequest & { afterMs: number; status: number; body: RecordedBody })[]
  /** Values of the answer that later steps need: `{"x": "body.ID"}`. */
  readonly saves?: Readonly<Record<string, string>>
  /** Set for a step of DNS, with what it was answered. */
  readonly query?: RecordedQuery
  readonly hex?: string
}

export interface RecordedQuery {
  readonly name: string
  readonly type: string
  /** Size told by EDNS. */
  readonly edns: number | null
  readonly tcp: boolean
  readonly class?: string
  /** Recursion desired, unless false. */
  readonly rd?: boolean
  /** Of dig. */
  readonly options?: readonly string[]
}

export interface Recording {
  readonly consul: string
  readonly setup: string
  /** Paths whose values differ between two runs of Consul itself. */
  readonly volatile: readonly string[]
  readonly steps: readonly Step[]
}

export const SCENARIOS = [
  'agent',
  'blocking',
  'catalog',
  'checks',
  'coordinates',
  'dns',
  'dns-options',
  'errors',
  'events',
  'exact-text',
  'filter',
  'health',
  'kv',
  'multi-dc',
  'prepared-queries',
  'sessions-locks',
  'status-operator',
  'txn',
] as const
export type Scenario = (typeof SCENARIOS)[number]

export function loadRecording(scenario: Scenario): Recording {
  const url = new URL(`../recordings/${scenario}.json`, import.meta.url)
  return JSON.parse(readFileSync(url, 'utf8')) as Recording
}
