/** `/v1/kv`: keys and their values, always of one datacenter. */
import * as z from 'zod'
import { type Command, type CommandResult, MAX_KV_VALUE_BYTES } from '../../catalog/catalog.ts'
import type { KvRow } from '../../model/entries.ts'
import { isAtollError } from '../../model/errors.ts'
import type { CommandOptions, Mesh } from '../../resolver/mesh.ts'
import { encodedNothing, json } from '../answer.ts'
import { readBody } from '../body/read.ts'
import { flag, shows, uint64 } from '../described.ts'
import { badRequest, HttpError } from '../errors.ts'
import { keptShape, type Shape } from '../kept.ts'
import { META_HEADERS } from '../openapi/headers.ts'
import { parseUint64 } from '../query.ts'
import { jsonShape, reading } from '../reading.ts'
import type { Call, Route } from '../route.ts'
import * as shown from '../schemas/entries.ts'
import { kvShape } from '../shapes.ts'

const MISSING = encodedNothing(404)

const entry = jsonShape<KvRow | undefined>((row) => (row === undefined ? null : [kvShape(row)]))
const entries = jsonShape<readonly KvRow[]>((rows) => rows.map(kvShape))
const keyList = jsonShape<readonly string[]>((keys) => keys)
const raw = keptShape<KvRow | undefined>((row) => ({
  status: 200,
  bytes: row!.value.slice(),
  headers: {
    'Content-Type': 'text/plain',
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': 'sandbox',
  },
}))

const orMissing = <T>(shape: Shape<T>, isMissing: (value: T) => boolean): Shape<T> => ({
  encode: (value, datacenter) => (isMissing(value) ? MISSING : shape.encode(value, datacenter)),
})

const read = {
  meta: 'index',
  rest: 'key',
  path: '/v1/kv/',
} as const

const one = reading<'kv'>({
  ...read,
  summary: 'The entry of a key',
  shows: z.array(shown.kvEntry),
  ask: (call) => ({
    question: { kind: 'kv', key: requireKey(call) },
    shape: orMissing(call.query.has('raw') ? raw : entry.of(call), (row) => row === undefined),
  }),
})

const under = reading<'kv-prefix'>({
  ...read,
  summary: 'The entries of all keys with a prefix',
  shows: z.array(shown.kvEntry),
  ask: (call) => ({
    question: { kind: 'kv-prefix', prefix: call.rest },
    shape: orMissing(entries.of(call), (rows) => rows.length === 0),
  }),
})

const keys = reading<'kv-keys'>({
  ...read,
  summary: 'All keys with a prefix',
  shows: z.array(z.string()),
  ask: (call) => ({
    question: { kind: 'kv-keys', prefix: call.rest, separator: call.query.get('separator') },
    shape: orMissing(keyList.of(call), (list) => list.length === 0 && call.rest !== ''),
  }),
})

const children = reading<'kv-keys'>({
  ...read,
  summary: 'The names directly below a key',
  shows: z.array(z.string()),
  ask: (call) => {
    const prefix = folderOf(call.rest)
    const shape = jsonShape<readonly string[]>((list) => childrenOf(list, prefix)).of(call)
    const isMissing = (list: readonly string[]): boolean => childrenOf(list, prefix).length === 0 && call.rest !== ''
    return { question: { kind: 'kv-keys', prefix, separator: '/' }, shape: orMissing(shape, isMissing) }
  },
})

const folderOf = (key: string): string => (key === '' || key.endsWith('/') ? key : `${key}/`)

/** Without the folder itself; one that is a key and a folder counts once. */
const childrenOf = (keys: readonly string[], prefix: string): string[] => [
  ...new Set(keys.map((key) => key.slice(prefix.length).replace(/\/$/, '')).filter((name) => name !== '')),
]

export const kvRoutes: readonly Route[] = [
  {
    ...one,
    summary: 'A key, all keys under a prefix (`recurse`), or only their names (`keys`)',
    parameters: {
      ...one.parameters,
      recurse: flag('all entries whose keys have the prefix'),
      keys: flag('names of keys only'),
      separator: 'with `keys`: names up to its first occurrence after the prefix, each once',
      raw: flag('the value itself'),
      children: flag('names directly below the key, up to the next slash, each once'),
    },
    answers: {
      200: {
        what: 'Entries, names, or with `raw` the bytes of the value',
        content: {
          'application/json': z.union([z.array(shown.kvEntry), z.array(z.string())]),
          'text/plain': z.unknown(),
        },
        headers: META_HEADERS.index,
      },
      404: { what: 'There is none', headers: META_HEADERS.index },
    },
    handle(call, context) {
      if (call.query.has('children')) return children.handle(call, context)
      if (call.query.has('keys')) return keys.handle(call, context)
      return (call.query.has('recurse') ? under : one).handle(call, context)
    },
  },
  {
    method: 'PUT',
    path: '/v1/kv/',
    rest: 'key',
    summary: 'Writes a value; answers false when `cas` did not hold',
    parameters: {
      dc: 'the datacenter of the key',
      flags: uint64('a number of 64 bits, opaque to Atoll'),
      cas: uint64('only when this is the ModifyIndex of the key; 0: only when there is none'),
      sequence: flag(
        'append a number of 16 digits that is above all before it under this prefix, and answer the key; with `acquire`, held by that session',
      ),
      acquire: 'a session: only when the key is free or held by it already; answers false otherwise',
      release: 'a session: only when the key is held by it, which lets it go; answers false otherwise',
    },
    rawBody: 'The value, up to 512 KiB',
    answers: {
      200: shows('Whether it was written; with `sequence` the key', z.union([z.boolean(), z.string()]).nullable()),
    },
    async handle(call, { mesh }) {
      const sequence = call.query.has('sequence')
      const key = sequence ? call.rest : requireKey(call)
      refuseConflicts(call, ['cas', 'acquire', 'release'])
      if (sequence) refuseConflicts(call, ['cas', 'release', 'sequence'])
      const flags = call.query.get('flags') === '' ? 0n : parseUint64(call.query.get('flags'))
      const cas = casOf(call)
      const value = await readBody(
        call.request,
        MAX_KV_VALUE_BYTES,
        (length) =>
          `Request body(${length} bytes) too large, max size: ${MAX_KV_VALUE_BYTES} bytes. Split the value of ${key}`,
      )
      if (sequence) {
        const session = call.query.get('acquire').toLowerCase()
        const made = await write({ kind: 'kv-sequence', prefix: key, value, flags, session }, call, mesh)
        return json(made.key ?? null, call.pretty)
      }
      const written = { key, value, flags }
      const command: Command = call.query.has('acquire')
        ? { kind: 'kv-lock', ...written, session: call.query.get('acquire').toLowerCase() }
        : call.query.has('release')
          ? { kind: 'kv-unlock', ...written, session: call.query.get('release').toLowerCase() }
          : { kind: 'kv-put', ...written, ...cas }
      const { applied } = await write(command, call, mesh)
      return json(applied, call.pretty)
    },
  },
  {
    method: 'DELETE',
    path: '/v1/kv/',
    rest: 'key',
    summary: 'Deletes a key, or all with a prefix (`recurse`); answers false when `cas` did not hold',
    parameters: {
      dc: 'the datacenter of the key',
      recurse: flag('all keys with the prefix'),
      cas: uint64('only when this is the ModifyIndex of the key'),
    },
    answers: { 200: shows('Whether it was deleted', z.boolean()) },
    async handle(call, { mesh }) {
      const recurse = call.query.has('recurse')
      const key = recurse ? call.rest : requireKey(call)
      refuseConflicts(call, ['recurse', 'cas'])
      const { applied } = await mesh.execute({ kind: 'kv-delete', key, recurse, ...casOf(call) }, writeOptions(call))
      return json(applied, call.pretty)
    },
  },
]

/** What a lock is refused for is a 500 in Consul. */
async function write(command: Command, call: Call, mesh: Mesh): Promise<CommandResult> {
  const options = writeOptions(call)
  try {
    return await mesh.execute(command, options)
  } catch (error) {
    if (!isAtollError(error) || (error.field !== 'acquire' && error.field !== 'release')) throw error
    const elsewhere = options.datacenter && options.datacenter !== mesh.datacenter ? 'rpc error making call: ' : ''
    throw new HttpError(500, `${elsewhere}raft apply failed: ${error.message}`)
  }
}

const writeOptions = ({ principal, query, request }: Call): CommandOptions => {
  const datacenter = query.get('dc')
  return {
    principal,
    ...(datacenter && { datacenter }),
    // Asked for by commands that go to another node; of the others none is made, which would be a good part of their work.
    get signal() {
      return request.signal
    },
  }
}

function requireKey(call: Call): string {
  if (call.rest === '') throw badRequest('Missing key name')
  return call.rest
}

function refuseConflicts({ query }: Call, flags: readonly string[]): void {
  if (flags.filter((flag) => query.has(flag)).length > 1) throw badRequest(`Conflicting flags: ${query.encode()}`)
}

function casOf({ query }: Call): { cas?: number } {
  if (!query.has('cas')) return {}
  return { cas: Number(parseUint64(query.get('cas'))) }
}
