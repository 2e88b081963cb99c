/** User events: a short message to the nodes of a datacenter, told in order; the last 256 are kept. */
import type { Indexed } from './entries.ts'

export interface EventEntry {
  readonly id: string
  readonly name: string
  readonly payload: Uint8Array
  /** Regular expressions (RE2): only for nodes with such a name, ... */
  readonly nodeFilter: string
  /** ... with a service of such a name, ... */
  readonly serviceFilter: string
  /** ... that has such a tag. '' for all. */
  readonly tagFilter: string
  /** Order of the events of a datacenter, from 2 (as clients know it of Consul). */
  readonly time: number
}
export type EventRow = EventEntry & Indexed

export const MAX_EVENTS = 256
/** Of name and payload together. */
export const MAX_EVENT_BYTES = 512
export const MAX_EVENT_FILTER_LENGTH = 256
