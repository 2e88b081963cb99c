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
import { acquireLock, type HeldLock, type LockOptions } from './lock.ts'
import { type MeshClient, meshClient } from './mesh.ts'
import { type PreparedQueryClient, preparedQueryClient } from './prepared-query.ts'
import { type SessionClient, sessionClient } from './session.ts'
import { type SnapshotClient, snapshotClient } from './snapshot.ts'
import { type ClientOptions, createTransport, type Query } from './transport.ts'
import { type TxnClient, txnClient } from './txn.ts'

export interface Client {
  /** Base URL. */
  readonly address: string
  readonly agent: AgentClient
  readonly catalog: CatalogClient
  readonly coordinate: CoordinateClient
  readonly health: HealthClient
  readonly kv: KvClient
  readonly mesh: MeshClient
  /** Prepared queries. */
  readonly query: PreparedQueryClient
  readonly session: SessionClient
  readonly snapshot: SnapshotClient
  readonly txn: TxnClient
  /** Waits for a lock and holds it, see `LockOptions`. */
  lock(key: string, options?: LockOptions): Promise<HeldLock>
  /** Server-Sent Events of `/v1/watch/<what>`, over as many connections as it takes. */
  events(what: string, query?: Query, options?: EventOptions): AsyncGenerator<ServerEvent, void, undefined>
}

/** Throws ClientError 'invalid' for an address that is none; nothing is sent yet. */
export function createClient(options: ClientOptions = {}): Client {
  const transport = createTransport(options)
  const kv = kvClient(transport)
  const session = sessionClient(transport)
  return {
    address: transport.address,
    agent: agentClient(transport),
    catalog: catalogClient(transport),
    coordinate: coordinateClient(transport),
    health: healthClient(transport),
    kv,
    mesh: meshClient(transport),
    query: preparedQueryClient(transport),
    session,
    snapshot: snapshotClient(transport),
    txn: txnClient(transport),
    lock: (key, lockOptions = {}) => acquireLock({ kv, session }, key, lockOptions),
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
export type { KeepOptions, KeptSession } from './keep-session.ts'
export type { KvClient, KvPair, KvPutOptions, KvWriteOptions } from './kv.ts'
export type { HeldLock, LockOptions } from './lock.ts'
export type { MeshClient } from './mesh.ts'
export { pick } from './pick.ts'
export type {
  PreparedQueryClient,
  PreparedQueryDefinition,
  PreparedQueryExecutionJson,
  PreparedQueryJson,
} from './prepared-query.ts'
export type { RankOptions, ReadOptions, SortOptions } from './read.ts'
export type { SessionClient, SessionDefinition, SessionJson } from './session.ts'
export { inspectSnapshot, type SnapshotClient, type SnapshotInfo } from './snapshot.ts'
export type { CallOptions, ClientOptions } from './transport.ts'
export type { TxnClient, TxnOperationJson, TxnResultJson } from './txn.ts'
export type * from './types.ts'
export { type Blocking, type WatchOptions, watch } from './watch.ts'
