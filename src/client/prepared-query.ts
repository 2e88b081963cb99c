/** Prepared queries: look-ups with their conditions, stored under a name. */
import type { Answer } from './answer.ts'
import {
  callOptions,
  parseJson,
  type RankOptions,
  type ReadOptions,
  readJson,
  type SortOptions,
  segment,
} from './read.ts'
import type { CallOptions, Transport } from './transport.ts'
import type { HealthEntryJson } from './types.ts'

/** As it is stored; what is left out is as if it were empty. Durations as Go writes them: "10s". */
export interface PreparedQueryDefinition {
  readonly Name?: string
  /** Id of a session that it goes with. */
  readonly Session?: string
  readonly Token?: string
  readonly Template?: {
    readonly Type?: 'name_prefix_match' | ''
    readonly Regexp?: string
    readonly RemoveEmptyTags?: boolean
  }
  readonly Service: {
    readonly Service: string
    readonly Failover?: {
      readonly NearestN?: number
      readonly Datacenters?: readonly string[] | null
      readonly Targets?: readonly { readonly Datacenter: string }[]
    }
    readonly OnlyPassing?: boolean
    readonly IgnoreCheckIDs?: readonly string[] | null
    readonly Near?: string
    readonly Tags?: readonly string[] | null
    readonly NodeMeta?: Readonly<Record<string, string>> | null
    readonly ServiceMeta?: Readonly<Record<string, string>> | null
    readonly Connect?: boolean
    /** The least busy first. */
    readonly Sort?: 'load' | ''
  }
  readonly DNS?: { readonly TTL?: string }
}

export interface PreparedQueryJson extends PreparedQueryDefinition {
  readonly ID: string
  readonly Name: string
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

export interface PreparedQueryExecutionJson {
  readonly Service: string
  readonly Nodes: readonly HealthEntryJson[]
  readonly DNS: { readonly TTL: string }
  /** Which one the instances are of. */
  readonly Datacenter: string
  /** Other datacenters that were tried. */
  readonly Failovers: number
}

export type ExecuteOptions = ReadOptions &
  Pick<RankOptions, 'near'> &
  SortOptions & {
    /** At most so many instances; all unless given. */
    readonly limit?: number
  }
type WriteOptions = CallOptions & { readonly dc?: string }

export interface PreparedQueryClient {
  list(options?: ReadOptions): Promise<Answer<readonly PreparedQueryJson[]>>
  /** Rejects with ClientError 'not-found' when there is none. */
  get(id: string, options?: ReadOptions): Promise<Answer<PreparedQueryJson>>
  /** Its id. */
  create(query: PreparedQueryDefinition, options?: WriteOptions): Promise<string>
  /** Rejects when there is none. */
  update(id: string, query: PreparedQueryDefinition, options?: WriteOptions): Promise<void>
  /** Rejects when there is none. */
  delete(id: string, options?: WriteOptions): Promise<void>
  /** By id or name; with `index` it waits. Rejects with ClientError 'not-found' when there is none. */
  execute(query: string, options?: ExecuteOptions): Promise<Answer<PreparedQueryExecutionJson>>
  /** What a name stands for. Rejects with ClientError 'not-found' when there is no query for it. */
  explain(query: string, options?: ReadOptions): Promise<Answer<PreparedQueryJson>>
}

export function preparedQueryClient(transport: Transport): PreparedQueryClient {
  const write = (method: 'POST' | 'PUT' | 'DELETE', path: string, options: WriteOptions, body?: unknown) =>
    transport.call({
      method,
      path: `/v1/query${path}`,
      query: { dc: options.dc },
      ...callOptions(options),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  return {
    list: (options = {}) => readJson(transport, '/v1/query', options),
    async get(id, options = {}) {
      const { value, meta } = await readJson<[PreparedQueryJson]>(transport, `/v1/query/${segment(id)}`, options)
      return { value: value[0], meta }
    },
    async create(query, options = {}) {
      return parseJson<{ ID: string }>(await write('POST', '', options, query)).ID
    },
    async update(id, query, options = {}) {
      await write('PUT', `/${segment(id)}`, options, query)
    },
    async delete(id, options = {}) {
      await write('DELETE', `/${segment(id)}`, options)
    },
    execute: (query, options = {}) =>
      readJson(transport, `/v1/query/${segment(query)}/execute`, options, {
        limit: options.limit,
        sort: options.sort,
      }),
    async explain(query, options = {}) {
      const path = `/v1/query/${segment(query)}/explain`
      const { value, meta } = await readJson<{ Query: PreparedQueryJson }>(transport, path, options)
      return { value: value.Query, meta }
    },
  }
}
