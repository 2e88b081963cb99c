/**
 * Atoll's HTTP API from any runtime that has `fetch`. Reads come with what the answer says of itself (index, where
 * it came from, how old it is); every call has a deadline; failures are ClientErrors with a code.
 */
import { type AgentClient, agentClient } from './agent.ts'
import { type CatalogClient, catalogClient } from './catalog.ts'
import { type CoordinateClient, coordinateClient } from './coordinate.ts'
import { type EventOptions, eventStream, type ServerEvent } from './events.ts'
import { type HealthClient, healthClient } from './health.ts'
import { type KvClient, kvClient } from './kv.ts'
import { type MeshClient, meshClient } from './mesh.ts'
import { type ClientOptions, createTransport, type Query } from './transport.ts'

export interface Client {
  /** Base URL. */
  readonly address: string
  readonly agent: AgentClient
  readonly catalog: CatalogClient
  readonly coordinate: CoordinateClient
  readonly health: HealthClient
  readonly kv: KvClient
  readonly mesh: MeshClient
  /** Server-Sent Events of `/v1/watch/<what>`, over as many connections as it takes. */
  events(what: string, query?: Query, options?: EventOptions): AsyncGenerator<ServerEvent, void, undefined>
}

/** Throws ClientError 'invalid' for an address that is none; nothing is sent yet. */
export function createClient(options: ClientOptions = {}): Client {
  const transport = createTransport(options)
  return {
    address: transport.address,
    agent: agentClient(transport),
    catalog: catalogClient(transport),
    coordinate: coordinateClient(transport),
    health: healthClient(transport),
    kv: kvClient(transport),
    mesh: meshClient(transport),
    events: (what, query = {}, eventOptions = {}) =>
      eventStream(transport, `/v1/watch/${what.split('/').map(encodeURIComponent).join('/')}`, query, eventOptions),
  }
}

export type { AgentClient } from './agent.ts'
export type { Answer, Meta } from './answer.ts'
export type { CatalogClient } from './catalog.ts'
export { type CoordinateClient, estimateRttMs } from './coordinate.ts'
export { ClientError, type ClientErrorCode, isClientError } from './error.ts'
export type { EventOptions, ServerEvent } from './events.ts'
export type { HealthClient, ServiceQuery } from './health.ts'
export type { KvClient, KvPair, KvWriteOptions } from './kv.ts'
export type { MeshClient } from './mesh.ts'
export type { RankOptions, ReadOptions } from './read.ts'
export type { CallOptions, ClientOptions } from './transport.ts'
export type * from './types.ts'
export { type Blocking, type WatchOptions, watch } from './watch.ts'
