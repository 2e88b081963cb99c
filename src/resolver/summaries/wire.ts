/** What client nodes and servers say to each other about summaries, and under which keys. */
import * as z from 'zod'
import { AtollError } from '../../model/errors.ts'
import type { Table } from '../../model/keys.ts'

export const SUMMARIES = 'mesh.summaries'

export interface SummariesRequest {
  /** Of the last answer; '' at first. */
  readonly feed: string
  /** Version that the client stands at; -1 while it takes all in pages. */
  readonly since: number
  /** Part that the next page begins with. */
  readonly from: number
  /** How long to wait for a change, where there is none yet. */
  readonly waitMs: number
}

export interface SummariesAnswer {
  /** Identity of the server's feed; another one knows nothing of former versions. */
  readonly feed: string
  /** What the client holds is to be replaced: this is the first page of all. */
  readonly restart: boolean
  readonly version: number
  /** First part of the next page; undefined after the last. */
  readonly next?: number
  readonly runs: readonly Uint8Array[]
  /** Everything that the server knew when it answered is in what the client stands at now. */
  readonly settled: boolean
  /** How long the server held the request: what it says was so that long after it was asked. */
  readonly heldMs: number
  /** How long the client shall leave between two requests, about: the more clients, the longer. */
  readonly paceMs: number
}

const number = z.number().int().min(-1).max(Number.MAX_SAFE_INTEGER)

const requestSchema = z.object({
  feed: z.string().max(64),
  since: number,
  from: number,
  waitMs: z.number().min(0).max(600_000),
})

const answerSchema = z.object({
  feed: z.string().max(64),
  restart: z.boolean(),
  version: number,
  next: number.optional(),
  runs: z.array(z.instanceof(Uint8Array)).max(1_024),
  settled: z.boolean(),
  heldMs: z.number().min(0),
  paceMs: z.number().min(0).max(60_000),
})

/** Throws AtollError 'invalid'. */
export function requestOf(payload: unknown): SummariesRequest {
  const parsed = requestSchema.safeParse(payload)
  if (parsed.success) return parsed.data
  throw new AtollError('invalid', 'a request for summaries is malformed', { field: 'payload' })
}

/** Throws AtollError 'unavailable'. */
export function answerOf(payload: unknown): SummariesAnswer {
  const parsed = answerSchema.safeParse(payload)
  if (parsed.success) return parsed.data
  throw new AtollError('unavailable', 'a server sent summaries in words that this node does not know')
}

/** A service of a DC, by its part of keys. */
export const serviceKey = (datacenter: string, part: string): string => `s ${datacenter} ${part}`
export const servicesPrefix = (datacenter: string): string => `s ${datacenter} `
export const isService = (key: string): boolean => key.startsWith('s ')
/** Index of all nodes, services or checks of a DC. */
export const tableKey = (datacenter: string, table: Table): string => `t ${datacenter} ${table}`
/** There while everything of the DC is told, so that what is absent is absent. */
export const datacenterKey = (datacenter: string): string => `d ${datacenter}`

export const TABLES: readonly Table[] = ['nodes', 'services', 'checks']

export function encodeIndex(index: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setFloat64(0, index)
  return bytes
}
export const decodeIndex = (bytes: Uint8Array): number =>
  bytes.length === 8 ? new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0) : 0
