/** Routes as data: what may be asked, in words and schemas, and what answers it. */
import type * as z from 'zod'
import type { Mesh, Principal } from '../resolver/mesh.ts'
import type { Clock, HostReport, LogFollower, Logger, ProcessMemory, Random } from '../runtime/ports.ts'
import { type Answers, duration, flag, oneOf, type Parameter, repeated, whole } from './described.ts'
import type { KeptAnswers } from './kept.ts'
import type { Gate, HttpLimits } from './limits.ts'
import type { Query } from './query.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

export interface Route {
  readonly method: Method
  /** One that ends in `/` (of more than a folder) takes the rest of the path, decoded, as its one parameter. */
  readonly path: string
  /** Name of that parameter. */
  readonly rest?: string
  readonly summary: string
  /** Parameters of the query with their meaning; flags count by being there. */
  readonly parameters?: Readonly<Record<string, Parameter | string>>
  /** A body of JSON. */
  readonly body?: z.ZodType
  /** A body of any bytes, in words. */
  readonly rawBody?: string
  /** What it answers, by status, for the API's document (`/v1/openapi`); tests hold it true. */
  readonly answers: Answers
  handle(call: Call, context: Context): Response | Promise<Response>
}

/** One request, taken apart once. */
export interface Call {
  readonly request: Request
  /** Path and query as they were sent. */
  readonly target: string
  /** The rest of the path for routes that take one, decoded; '' otherwise. */
  readonly rest: string
  readonly query: Query
  readonly principal: Principal
  readonly pretty: boolean
  /** Whether the client takes a compressed body. */
  readonly gzip: boolean
}

/** The machine below, and the process on it. */
export interface Machine {
  report(): Promise<HostReport>
  memory(): ProcessMemory
  /** Stands in the names of metrics, as Consul has it unless told otherwise; '' for none. */
  readonly metricsHost: string
  /** undefined where the log goes to a logger that cannot be followed. */
  readonly log: { follow(follower: LogFollower): () => void } | undefined
}

/** What handlers work with: one per app. */
export interface Context {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly limits: HttpLimits
  readonly version: string
  readonly machine: Machine
  readonly kept: KeptAnswers
  readonly blocking: Gate
  readonly watchers: Gate
  /** Questions that were asked with `?cached` before. */
  readonly cachedBefore: Recent
  /** Wakes who waits for a change of this node's own services. */
  readonly agentChanged: Waiters
  /** Wall clock, when the app began. */
  readonly startedAtMs: number
  /** Aborts when the app closes. */
  readonly closing: AbortSignal
}

/** Which of many keys were seen lately; the oldest are forgotten. */
export class Recent {
  readonly #max: number
  readonly #keys = new Set<string>()

  constructor(max: number) {
    this.#max = max
  }

  /** Whether the key was seen before; from now on it was. */
  seen(key: string): boolean {
    const before = this.#keys.delete(key)
    this.#keys.add(key)
    if (this.#keys.size > this.#max) this.#keys.delete(this.#keys.values().next().value!)
    return before
  }
}

/** Functions that run once at the next change. */
export class Waiters {
  #waiting = new Set<() => void>()

  once(wake: () => void): () => void {
    this.#waiting.add(wake)
    return () => this.#waiting.delete(wake)
  }

  wake(): void {
    const woken = this.#waiting
    this.#waiting = new Set()
    for (const wake of woken) wake()
  }
}

/** Parameters that every read takes. */
export const READ_PARAMETERS: Readonly<Record<string, Parameter | string>> = {
  dc: "a datacenter, `nearest`, or `*` for all; this node's own unless given",
  stale: flag('answer from what this node has'),
  consistent: flag('answer from the datacenter itself, linearizably'),
  cached: flag('taken and answered like any other: everything is answered from memory'),
  max_stale: duration('with `stale`: ask again without it when the answer is older than this duration'),
  index: whole('wait until the index is above this one'),
  wait: duration('for at most this long: a duration, 5m unless given, 10m at most'),
}
export const NODE_PARAMETERS: Readonly<Record<string, Parameter | string>> = {
  near: 'order by nearness to this node, or to the asked one (`_agent`)',
  'node-meta': repeated('`key:value`, repeated: only nodes that have all'),
}
export const PEER_PARAMETER: Readonly<Record<string, string>> = {
  peer: 'a cluster peer of Consul; Atoll has none, so that nothing is found with it',
}
export const SORT_PARAMETER: Readonly<Record<string, Parameter>> = {
  sort: oneOf('the least busy first, by what instances report; those that report nothing count as half busy', 'load'),
}
export const FILTER_PARAMETER: Readonly<Record<string, string>> = {
  filter: 'a boolean expression over the entries, as Consul has it',
}
