/**
 * What nodes send each other through the door, checked before it is used: a peer may be newer, broken or hostile, and
 * its certificate says who it is, not that it makes sense. Fields of a newer version are left out; a kind that is not
 * known here is 'unsupported'.
 */
import * as z from 'zod'
import type { Command, CommandResult, KvChanges } from '../catalog/catalog.ts'
import { MAX_TXN_COMMANDS } from '../catalog/txn.ts'
import { ageFromWire } from '../model/age.ts'
import type { KvRow } from '../model/entries.ts'
import { AtollError } from '../model/errors.ts'
import { MAX_QUERY_ELEMENTS } from '../model/prepared-query.ts'
import type { Answer, AskOptions, Explanation, Question, QuestionKind } from './mesh.ts'
import { unpackRegistrations } from './registrations-wire.ts'
import type { MeshStatus } from './status.ts'

export interface AskMessage {
  readonly question: Question
  readonly options: Omit<AskOptions, 'signal'>
  readonly hops: number
}

export interface ExecuteMessage {
  readonly command: Command
  readonly datacenter: string
  readonly token: string
  readonly requestId: string
  readonly hops: number
}

/** Longest name, key or tag in a question, in characters: as long as a URL that HTTP takes. */
const text = z.string().max(16_384)
const token = z.string().max(4_096)
const datacenter = z.string().max(64)
const hops = z.number().int().min(0).max(16)
const strings = z.record(text, z.string())
const anything = z.record(z.string(), z.unknown())

// ---- questions

const near = { near: text.optional() }
const sort = { sort: z.literal('load').optional() }
const nodeMeta = { nodeMeta: z.record(text, text).optional() }
const tags = z.array(text).max(1_024)
const status = z.enum(['passing', 'warning', 'critical'])

const questions: { readonly [K in QuestionKind]: z.ZodType } = {
  datacenters: z.object({ kind: z.literal('datacenters') }),
  nodes: z.object({ kind: z.literal('nodes'), ...near, ...nodeMeta }),
  services: z.object({ kind: z.literal('services'), ...nodeMeta }),
  registrations: z.object({ kind: z.literal('registrations'), ...nodeMeta }),
  service: z.object({
    kind: z.literal('service'),
    service: text,
    passing: z.boolean(),
    tags,
    ...near,
    ...sort,
    ...nodeMeta,
  }),
  node: z.object({ kind: z.literal('node'), node: text }),
  address: z.object({ kind: z.literal('address'), address: z.string().max(64) }),
  'service-checks': z.object({ kind: z.literal('service-checks'), service: text, ...near, ...nodeMeta }),
  'node-checks': z.object({ kind: z.literal('node-checks'), node: text }),
  state: z.object({ kind: z.literal('state'), state: z.union([status, z.literal('any')]), ...near, ...nodeMeta }),
  coordinates: z.object({ kind: z.literal('coordinates'), node: text.optional() }),
  'coordinate-datacenters': z.object({ kind: z.literal('coordinate-datacenters') }),
  kv: z.object({ kind: z.literal('kv'), key: text }),
  'kv-prefix': z.object({ kind: z.literal('kv-prefix'), prefix: text }),
  'kv-keys': z.object({ kind: z.literal('kv-keys'), prefix: text, separator: text }),
  session: z.object({ kind: z.literal('session'), session: text }),
  events: z.object({ kind: z.literal('events'), name: text.optional() }),
  sessions: z.object({ kind: z.literal('sessions') }),
  'node-sessions': z.object({ kind: z.literal('node-sessions'), node: text }),
  queries: z.object({ kind: z.literal('queries') }),
  query: z.object({ kind: z.literal('query'), id: text }),
  'query-explain': z.object({ kind: z.literal('query-explain'), query: text }),
  'query-execute': z.object({
    kind: z.literal('query-execute'),
    query: text,
    agent: text.optional(),
    connect: z.boolean().optional(),
    ...near,
    ...sort,
  }),
}

const askSchema = z.object({
  question: z.object({ kind: z.string().max(64) }).loose(),
  options: z.object({
    principal: z.object({ token }),
    datacenter: datacenter.optional(),
    consistency: z.enum(['default', 'consistent', 'stale']),
    index: z.number().int().min(0).optional(),
    waitMs: z.number().min(0).optional(),
    noFailover: z.boolean().optional(),
  }),
  hops,
})

/** Throws AtollError 'invalid' or 'unsupported'. */
export function askMessageOf(payload: unknown): AskMessage {
  const { question, options, hops } = parsed(askSchema, payload, 'a question')
  const schema = Object.hasOwn(questions, question.kind) ? questions[question.kind as QuestionKind] : undefined
  if (schema === undefined) throw unknownKind('question', question.kind)
  return { question: parsed(schema, question, 'a question') as Question, options, hops }
}

// ---- commands

const owner = z.enum(['agent', 'catalog'])
const addresses = z.record(text, z.object({ address: z.string(), port: z.number().int() })).nullable()

const locality = z.object({ region: z.string(), zone: z.string() }).optional()

const node = z.object({
  id: text,
  node: text,
  address: z.string(),
  taggedAddresses: strings.nullable(),
  meta: strings.nullable(),
  locality,
  owner,
})

const service = z.object({
  node: text,
  id: text,
  service: text,
  kind: text,
  tags: z.array(z.string()),
  address: z.string(),
  taggedAddresses: addresses,
  meta: strings.nullable(),
  port: z.number().int(),
  socketPath: z.string(),
  weights: z.object({ passing: z.number(), warning: z.number() }),
  enableTagOverride: z.boolean(),
  proxy: anything.nullable(),
  connect: anything.nullable(),
  failover: z.boolean().optional(),
  locality,
  load: z.number().min(0).max(1).optional(),
  owner,
})

const check = z.object({
  node: text,
  checkId: text,
  name: z.string(),
  status,
  notes: z.string(),
  output: z.string(),
  serviceId: text,
  serviceName: text,
  serviceTags: z.array(z.string()),
  type: z.string(),
  interval: z.string(),
  timeout: z.string(),
  exposedPort: z.number().int(),
  definition: anything,
  owner,
})

const coordinate = z.object({
  vec: z.array(z.number()).max(64),
  error: z.number(),
  adjustment: z.number(),
  height: z.number(),
})

const entries = { node, services: z.array(service), checks: z.array(check) }
const ids = z.array(text)
const written = { key: text, value: z.instanceof(Uint8Array), flags: z.bigint() }

const session = z.object({
  id: text,
  name: z.string(),
  node: text,
  lockDelayMs: z.number(),
  behavior: z.enum(['release', 'delete']),
  ttl: text,
  ttlMs: z.number(),
  nodeChecks: ids,
  serviceChecks: ids.nullable(),
  checks: ids.nullable(),
})

const event = z.object({
  id: text,
  name: text,
  payload: z.instanceof(Uint8Array),
  nodeFilter: text,
  serviceFilter: text,
  tagFilter: text,
  time: z.number(),
})

const texts = z.array(text).max(MAX_QUERY_ELEMENTS).nullable()
const query = z.object({
  id: text,
  name: text,
  session: text,
  token,
  template: z.object({ type: z.enum(['', 'name_prefix_match']), regexp: text, removeEmptyTags: z.boolean() }),
  service: z.object({
    service: text,
    failover: z.object({ nearestN: z.number().int().min(0), datacenters: texts, targets: texts }),
    onlyPassing: z.boolean(),
    ignoreCheckIds: texts,
    near: text,
    tags: texts,
    nodeMeta: strings.nullable(),
    serviceMeta: strings.nullable(),
    connect: z.boolean(),
    ...sort,
  }),
  dnsTtl: text,
})

const verb = z.string().max(64)
const index = z.number().min(0)
const operation = z.discriminatedUnion('type', [
  z.object({ type: z.literal('kv'), verb, ...written, index, session: text }),
  z.object({ type: z.literal('node'), verb, node, index }),
  z.object({ type: z.literal('service'), verb, node: text, service, index }),
  z.object({ type: z.literal('check'), verb, check, index }),
])

const cas = { cas: z.number().min(0).optional() }

/** What nodes may ask of each other; the rest is for the leader itself. */
const commands = {
  register: z.object({ kind: z.literal('register'), ...entries, keepNode: z.boolean() }),
  deregister: z.object({
    kind: z.literal('deregister'),
    node: text,
    serviceId: text.optional(),
    checkId: text.optional(),
  }),
  'agent-sync': z.object({
    kind: z.literal('agent-sync'),
    ...entries,
    removeServices: ids,
    removeChecks: ids,
    complete: z.boolean(),
    keepServices: ids.optional(),
    keepChecks: ids.optional(),
  }),
  'coordinate-update': z.object({ kind: z.literal('coordinate-update'), node: text, segment: text, coordinate }),
  'kv-put': z.object({ kind: z.literal('kv-put'), ...written, ...cas }),
  'kv-delete': z.object({ kind: z.literal('kv-delete'), key: text, recurse: z.boolean(), ...cas }),
  'kv-lock': z.object({ kind: z.literal('kv-lock'), ...written, session: text }),
  'kv-unlock': z.object({ kind: z.literal('kv-unlock'), ...written, session: text }),
  'event-fire': z.object({ kind: z.literal('event-fire'), event }),
  txn: z.object({ kind: z.literal('txn'), operations: z.array(operation).max(MAX_TXN_COMMANDS) }),
  'kv-sequence': z.object({
    kind: z.literal('kv-sequence'),
    prefix: text,
    value: written.value,
    flags: written.flags,
    session: text,
  }),
  'query-put': z.object({ kind: z.literal('query-put'), query, create: z.boolean() }),
  'query-delete': z.object({ kind: z.literal('query-delete'), query: text }),
  'session-create': z.object({ kind: z.literal('session-create'), session }),
  'session-destroy': z.object({ kind: z.literal('session-destroy'), session: text }),
  'session-renew': z.object({ kind: z.literal('session-renew'), session: text }),
} as const satisfies { readonly [K in Command['kind']]?: z.ZodType<Extract<Command, { kind: K }>> }

const executeSchema = z.object({
  command: z.object({ kind: z.string().max(64) }).loose(),
  datacenter,
  token,
  requestId: z.string().regex(/^[0-9A-Za-z-]{1,64}$/),
  hops,
})

/** Throws AtollError 'invalid' or 'unsupported'. */
export function executeMessageOf(payload: unknown): ExecuteMessage {
  const message = parsed(executeSchema, payload, 'a command')
  const { kind } = message.command
  if (!Object.hasOwn(commands, kind)) throw unknownKind('command', kind)
  const schema: z.ZodType<Command> = commands[kind as keyof typeof commands]
  return { ...message, command: parsed(schema, message.command, 'a command') }
}

const changesSchema = z.object({
  prefix: text,
  datacenter,
  since: z.number().min(0).optional(),
  waitMs: z.number().min(0),
})

/** Throws AtollError 'invalid'. */
export const changesMessageOf = (payload: unknown): z.output<typeof changesSchema> =>
  parsed(changesSchema, payload, 'a question')

const changesAnswerSchema = z.object({
  index: z.number().min(0),
  compacted: z.boolean(),
  changes: z.array(z.object({ key: z.string(), index: z.number(), row: anything.nullish() })),
})

/** Throws AtollError 'unavailable' when it makes no sense here. */
export function changesOf(to: string, payload: unknown): KvChanges {
  const answer = changesAnswerSchema.safeParse(payload)
  if (!answer.success) throw senseless(to)
  const { changes, ...rest } = answer.data
  return {
    ...rest,
    changes: changes.map(({ row, ...change }) => ({ ...change, row: (row ?? undefined) as KvRow | undefined })),
  }
}

const explainSchema = z.object({ service: text })

/** The service that is asked about. Throws AtollError 'invalid'. */
export const explainMessageOf = (payload: unknown): string => parsed(explainSchema, payload, 'a question').service

// ---- answers

const answerSchema = z.object({
  index: z.number().min(0),
  datacenter,
  source: z.enum(['catalog', 'replica', 'rpc']),
  ageMs: z.number().min(0).transform(ageFromWire),
  knownLeader: z.boolean(),
  consistency: z.enum(['leader', 'consistent', 'stale']),
  failover: z.object({ from: datacenter, to: datacenter }).nullish(),
})

const SINGLE: ReadonlySet<QuestionKind> = new Set([
  'node',
  'kv',
  'session',
  'address',
  'query',
  'query-explain',
  'query-execute',
])

/** What a server of `to` answered. Throws AtollError 'unavailable' when it makes no sense here. */
export function answerOf(to: string, kind: QuestionKind, payload: unknown): Answer<unknown> {
  const meta = answerSchema.safeParse(payload)
  const given = (payload as { value?: unknown } | null)?.value ?? undefined
  const value = kind === 'registrations' ? unpackRegistrations(given) : given
  const fits = SINGLE.has(kind) ? value === undefined || isObject(value) : Array.isArray(value)
  if (!meta.success || !fits) throw senseless(to)
  return { ...meta.data, failover: meta.data.failover ?? undefined, value }
}

const resultSchema = z.object({
  index: z.number().min(0),
  applied: z.boolean(),
  more: z.boolean().optional(),
  key: z.string().optional(),
  txn: z
    .object({
      entries: z.array(z.object({ type: z.enum(['kv', 'node', 'service', 'check']), row: anything })),
      errors: z.array(z.object({ operation: z.number().int().min(0), what: z.string() })),
    })
    .optional(),
})

/** Throws AtollError 'unknown-outcome': something was done. */
export function resultOf(datacenter: string, payload: unknown): CommandResult {
  const result = resultSchema.safeParse(payload)
  if (result.success) return result.data as CommandResult
  throw new AtollError(
    'unknown-outcome',
    `datacenter "${datacenter}" confirmed a write in words that this node does not know; it may or may not have been applied`,
  )
}

export function explanationOf(to: string, payload: unknown): Explanation {
  if (!isObject(payload) || !Array.isArray(payload.candidates)) throw senseless(to)
  return payload as unknown as Explanation
}

export function statusOf(to: string, payload: unknown): MeshStatus {
  if (!isObject(payload) || !Array.isArray(payload.datacenters)) throw senseless(to)
  return payload as unknown as MeshStatus
}

// ---- errors

function parsed<T>(schema: z.ZodType<T>, payload: unknown, what: string): T {
  const result = schema.safeParse(payload)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const field = issue?.path.map(String).join('.').slice(0, 256)
  throw new AtollError('invalid', `${what} from another node is malformed: ${field || 'payload'}: ${issue?.message}`, {
    field: field || 'payload',
  })
}

const unknownKind = (what: string, kind: string): AtollError =>
  new AtollError('unsupported', `this node knows no ${what} of kind "${kind}"; is it older than who sent it?`, {
    field: 'kind',
  })

const senseless = (to: string): AtollError =>
  new AtollError('unavailable', `datacenter "${to}" answered in words that this node does not know; upgrade this node`)

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
