/** Sessions: what locks are held by. */
import type { Answer } from './answer.ts'
import { isClientError } from './error.ts'
import { type KeepOptions, type KeptSession, keepSession } from './keep-session.ts'
import { callOptions, parseJson, type ReadOptions, readJson, segment } from './read.ts'
import type { CallOptions, Transport } from './transport.ts'

export interface SessionJson {
  readonly ID: string
  readonly Name: string
  readonly Node: string
  /** In nanoseconds. */
  readonly LockDelay: number
  readonly Behavior: 'release' | 'delete'
  /** A duration, '' for none. */
  readonly TTL: string
  readonly NodeChecks: readonly string[]
  readonly ServiceChecks: readonly { readonly ID: string }[] | null
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

/** Durations as Go writes them: "15s". */
export interface SessionDefinition {
  readonly Name?: string
  readonly Node?: string
  readonly LockDelay?: string
  readonly Behavior?: 'release' | 'delete'
  readonly TTL?: string
  readonly NodeChecks?: readonly string[]
  readonly ServiceChecks?: readonly { readonly ID: string }[]
}

type WriteOptions = CallOptions & { readonly dc?: string }

export interface SessionClient {
  /** Its id. */
  create(definition?: SessionDefinition, options?: WriteOptions): Promise<string>
  /** No error when it is gone. */
  destroy(id: string, options?: WriteOptions): Promise<void>
  /** Undefined when it has ended. */
  renew(id: string, options?: WriteOptions): Promise<SessionJson | undefined>
  info(id: string, options?: ReadOptions): Promise<Answer<SessionJson | undefined>>
  list(options?: ReadOptions): Promise<Answer<readonly SessionJson[]>>
  /** Makes a session and renews it until it is ended. */
  keep(definition?: Omit<SessionDefinition, 'TTL'>, options?: KeepOptions): Promise<KeptSession>
}

export function sessionClient(transport: Transport): SessionClient {
  const put = (path: string, options: WriteOptions, body?: string) =>
    transport.call({
      method: 'PUT',
      path: `/v1/session/${path}`,
      query: { dc: options.dc },
      ...callOptions(options),
      ...(body === undefined ? {} : { body }),
    })
  const client: SessionClient = {
    async create(definition = {}, options = {}) {
      return parseJson<{ ID: string }>(await put('create', options, JSON.stringify(definition))).ID
    },
    async destroy(id, options = {}) {
      await put(`destroy/${segment(id)}`, options)
    },
    async renew(id, options = {}) {
      try {
        return parseJson<SessionJson[]>(await put(`renew/${segment(id)}`, options))[0]
      } catch (error) {
        if (isClientError(error) && error.status === 404) return undefined
        throw error
      }
    },
    async info(id, options = {}) {
      const { value, meta } = await readJson<SessionJson[]>(transport, `/v1/session/info/${segment(id)}`, options)
      return { value: value[0], meta }
    },
    list: (options = {}) => readJson(transport, '/v1/session/list', options),
    keep: (definition = {}, options = {}) => keepSession(client, definition, options),
  }
  return client
}
