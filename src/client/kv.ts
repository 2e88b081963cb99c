/** Keys and values of a datacenter. Always answered there, never from a copy. */
import type { Answer } from './answer.ts'
import { ClientError } from './error.ts'
import { callOptions, parseJson, type ReadOptions, read } from './read.ts'
import type { CallOptions, RawAnswer, Transport } from './transport.ts'

export interface KvPair {
  readonly key: string
  readonly value: Uint8Array
  /** Unsigned 64 bits, opaque. */
  readonly flags: bigint
  readonly createIndex: number
  /** Give it to `put` or `delete` as `cas`. */
  readonly modifyIndex: number
  readonly lockIndex: number
  /** Id of the session that holds the key, or ''. */
  readonly session: string
}

export interface KvWriteOptions extends CallOptions {
  readonly dc?: string
  /** Only if the key's modify index still is this; 0: only if the key is not there. */
  readonly cas?: number
}

export interface KvPutOptions extends KvWriteOptions {
  readonly flags?: bigint
  /** A session: only if the key is free, or held by it; then it is held by it. */
  readonly acquire?: string
  /** A session: only if the key is held by it; then it is free. */
  readonly release?: string
}

export interface KvClient {
  /** Undefined when there is no such key. */
  get(key: string, options?: ReadOptions): Promise<Answer<KvPair | undefined>>
  /** The value alone, as bytes. */
  getRaw(key: string, options?: ReadOptions): Promise<Answer<Uint8Array | undefined>>
  /** Every pair whose key begins with `prefix`, in order of keys. */
  list(prefix: string, options?: ReadOptions): Promise<Answer<readonly KvPair[]>>
  /** Keys alone; with a separator, cut after its first occurrence behind the prefix, each once. */
  keys(prefix: string, options?: ReadOptions & { separator?: string }): Promise<Answer<readonly string[]>>
  /** Names directly below a key, up to the next slash, each once. */
  children(key: string, options?: ReadOptions): Promise<Answer<readonly string[]>>
  /** False when `cas`, `acquire` or `release` did not hold: nothing was changed. */
  put(key: string, value: string | Uint8Array, options?: KvPutOptions): Promise<boolean>
  /** A new key: the prefix and a number above all before it; with `acquire`, held by that session. */
  sequence(
    prefix: string,
    value: string | Uint8Array,
    options?: CallOptions & { dc?: string; flags?: bigint; acquire?: string },
  ): Promise<string>
  /** False when `cas` did not match. Deleting what is not there is true. */
  delete(key: string, options?: KvWriteOptions): Promise<boolean>
  /** Every key that begins with `prefix`, in one transaction. */
  deleteTree(prefix: string, options?: CallOptions & { dc?: string }): Promise<boolean>
}

interface KvJson {
  readonly Key: string
  /** Base64, null when empty. */
  readonly Value: string | null
  readonly Flags: number | bigint
  readonly LockIndex: number
  readonly Session?: string
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

export function kvClient(transport: Transport): KvClient {
  const list = async (path: string, options: ReadOptions, recurse: boolean) => {
    const answer = await read(transport, { path, query: { recurse }, allowMissing: true }, options)
    return { value: answer.status === 404 ? [] : pairs(answer), meta: answer.meta }
  }
  return {
    async get(key, options = {}) {
      const { value, meta } = await list(keyPath(key), options, false)
      return { value: value[0], meta }
    },
    async getRaw(key, options = {}) {
      const answer = await read(transport, { path: keyPath(key), query: { raw: true }, allowMissing: true }, options)
      return { value: answer.status === 404 ? undefined : answer.value, meta: answer.meta }
    },
    async list(prefix, options = {}) {
      return list(keyPath(prefix), options, true)
    },
    async keys(prefix, options = {}) {
      const query = { keys: true, separator: options.separator || undefined }
      const answer = await read(transport, { path: keyPath(prefix), query, allowMissing: true }, options)
      return { value: answer.status === 404 ? [] : parseJson<string[]>(answer), meta: answer.meta }
    },
    async children(key, options = {}) {
      const answer = await read(
        transport,
        { path: keyPath(key), query: { children: true }, allowMissing: true },
        options,
      )
      return { value: answer.status === 404 ? [] : parseJson<string[]>(answer), meta: answer.meta }
    },
    async sequence(prefix, value, options = {}) {
      const { dc, acquire, flags } = options
      const query = { sequence: true, dc, acquire, flags: flags?.toString() }
      const call = { method: 'PUT', path: keyPath(prefix), query, body: value, ...callOptions(options) } as const
      return parseJson<string>(await transport.call(call))
    },
    async put(key, value, options = {}) {
      const { dc, cas, acquire, release, flags } = options
      const query = { dc, cas, acquire, release, flags: flags?.toString() }
      return truth(
        await transport.call({ method: 'PUT', path: keyPath(key), query, body: value, ...callOptions(options) }),
      )
    },
    async delete(key, options = {}) {
      const query = { dc: options.dc, cas: options.cas }
      return truth(await transport.call({ method: 'DELETE', path: keyPath(key), query, ...callOptions(options) }))
    },
    async deleteTree(prefix, options = {}) {
      const query = { dc: options.dc, recurse: true }
      return truth(await transport.call({ method: 'DELETE', path: keyPath(prefix), query, ...callOptions(options) }))
    },
  }
}

const truth = (answer: RawAnswer): boolean => parseJson<unknown>(answer) === true

/** Slashes stay, except where a URL would lose the segment: `.`, `..`, and empty ones before the end. */
function keyPath(key: string): string {
  if (key === '.' || key === '..') {
    throw new ClientError('invalid', `key: "${key}" cannot be written in a URL; choose another name`, { field: 'key' })
  }
  const segments = key.split('/')
  const lossy = segments.some((text, at) => text === '.' || text === '..' || (text === '' && at < segments.length - 1))
  return `/v1/kv/${lossy ? encodeURIComponent(key) : segments.map(encodeURIComponent).join('/')}`
}

/** Flags go up to 2^64 - 1: where they are that large, they are taken from the text. */
function pairs(answer: RawAnswer): KvPair[] {
  const rows = parseJson<readonly KvJson[]>(answer, (key, value, context) =>
    key === 'Flags' && typeof value === 'number' && !Number.isSafeInteger(value)
      ? BigInt(context?.source ?? value)
      : value,
  )
  return rows.map((row) => ({
    key: row.Key,
    value: fromBase64(row.Value ?? ''),
    flags: BigInt(row.Flags),
    createIndex: row.CreateIndex,
    modifyIndex: row.ModifyIndex,
    lockIndex: row.LockIndex,
    session: row.Session ?? '',
  }))
}

function fromBase64(text: string): Uint8Array {
  const binary = atob(text)
  const bytes = new Uint8Array(binary.length)
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at)
  return bytes
}
