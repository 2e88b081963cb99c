/** What most reads have in common: their options, and how these become a query and an answer. */
import type { Answer } from './answer.ts'
import { ClientError } from './error.ts'
import type { Call, CallOptions, Query, RawAnswer, Transport } from './transport.ts'

export interface ReadOptions extends CallOptions {
  /** A datacenter, `nearest`, `*`, or undefined for that of the asked node. */
  readonly dc?: string
  /** Answer at once from what the node has. */
  readonly stale?: boolean
  /** Linearizable, asked in the datacenter itself. */
  readonly consistent?: boolean
  /** Blocking: answer once the index is above this one, or after `waitMs`. */
  readonly index?: number
  /** At most 600,000; the node adds up to a sixteenth. Counts only with `index`; 300,000 unless given. */
  readonly waitMs?: number
}

export interface RankOptions {
  /** Nearest first, as seen from this node; `_agent` for the one that is asked. */
  readonly near?: string
  /** All must match. */
  readonly nodeMeta?: Readonly<Record<string, string>>
  /** Consul's filter expression. */
  readonly filter?: string
}

export interface SortOptions {
  /** The least busy first, by what instances report; those that report nothing count as half busy. */
  readonly sort?: 'load'
}

/** Consul's own default, when a call blocks and names no wait. */
const DEFAULT_WAIT_MS = 300_000

export function readQuery(options: ReadOptions & RankOptions): Query {
  const blocking = (options.index ?? 0) > 0
  return {
    dc: options.dc,
    stale: options.stale,
    consistent: options.consistent,
    ...(blocking ? { index: options.index, wait: `${options.waitMs ?? DEFAULT_WAIT_MS}ms` } : {}),
    near: options.near,
    'node-meta': options.nodeMeta && Object.entries(options.nodeMeta).map(([key, value]) => `${key}:${value}`),
    filter: options.filter,
  }
}

export async function readJson<T>(
  transport: Transport,
  path: string,
  options: ReadOptions & RankOptions,
  query: Query = {},
): Promise<Answer<T>> {
  const answer = await read(transport, { path, query }, options)
  return { value: parseJson<T>(answer), meta: answer.meta }
}

/** A GET with the options that reads share. */
export function read(
  transport: Transport,
  call: Pick<Call, 'path' | 'query' | 'allowMissing'>,
  options: ReadOptions & RankOptions,
): Promise<RawAnswer> {
  return transport.call({
    method: 'GET',
    ...call,
    query: { ...readQuery(options), ...call.query },
    ...callOptions(options),
    ...((options.index ?? 0) > 0 ? { waitMs: options.waitMs ?? DEFAULT_WAIT_MS } : {}),
  })
}

export function callOptions(options: CallOptions): CallOptions {
  return {
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.signal ? { signal: options.signal } : {}),
  }
}

const decoder = new TextDecoder()

export function parseJson<T>(
  answer: RawAnswer,
  reviver?: (key: string, value: unknown, context?: { source?: string }) => unknown,
): T {
  try {
    return JSON.parse(decoder.decode(answer.value), reviver as (key: string, value: unknown) => unknown) as T
  } catch (error) {
    throw new ClientError('bad-answer', 'the answer is no JSON: is this the address of a node?', {
      status: answer.status,
      cause: error,
    })
  }
}

/** One segment of a path. */
export const segment = (text: string): string => encodeURIComponent(text)
