/** `/v1/session`: what locks are held by. Sessions belong to one datacenter and never leave it. */

import * as z from 'zod'
import type { Command, CommandResult } from '../../catalog/catalog.ts'
import { parseDuration } from '../../model/duration.ts'
import { isAtollError } from '../../model/errors.ts'
import {
  MAX_SESSION_TTL_MS,
  MIN_SESSION_TTL_MS,
  type SessionBehavior,
  type SessionEntry,
  type SessionRow,
} from '../../model/session.ts'
import { uuidFault } from '../../model/uuid.ts'
import { json, NO_ANSWER_META } from '../answer.ts'
import { decodeBody } from '../body/decode.ts'
import { readBody } from '../body/read.ts'
import { sessionSchema } from '../body/schemas.ts'
import { shows, TRUE, words } from '../described.ts'
import { HttpError } from '../errors.ts'
import type { JsonStruct } from '../json.ts'
import { jsonShape, reading } from '../reading.ts'
import type { Call, Context, Route } from '../route.ts'
import * as shown from '../schemas/entries.ts'
import { requireText } from '../words.ts'

const SERF_HEALTH = 'serfHealth'
const DEFAULT_LOCK_DELAY_MS = 15_000
const BAD_ID = 'failed session lookup: index error: '

const sessionShape = (session: SessionRow): JsonStruct => ({
  ID: session.id,
  Name: session.name,
  Node: session.node,
  LockDelay: Math.round(session.lockDelayMs * 1e6),
  Behavior: session.behavior,
  TTL: session.ttl,
  NodeChecks: session.nodeChecks,
  ServiceChecks: session.serviceChecks === null ? null : session.serviceChecks.map((ID) => ({ ID, Namespace: '' })),
  Checks: session.checks ?? undefined,
  CreateIndex: session.createIndex,
  ModifyIndex: session.modifyIndex,
})

const list = jsonShape<readonly SessionRow[]>((sessions) => sessions.map(sessionShape))
const one = jsonShape<SessionRow | undefined>((session) => (session === undefined ? [] : [sessionShape(session)]))

export const sessionRoutes: readonly Route[] = [
  {
    method: 'PUT',
    path: '/v1/session/create',
    summary: 'Makes a session, and answers its id',
    answers: { 200: shows('The session', z.object({ ID: z.string() })) },
    parameters: { dc: 'the datacenter to make it in' },
    body: sessionSchema,
    async handle(call, context) {
      const bytes = await readBody(call.request, context.limits.maxBodyBytes)
      const body = bytes.length === 0 ? {} : decodeBody(sessionSchema, bytes)
      const session = sessionOf(body, context)
      await execute({ kind: 'session-create', session }, call, context, 'apply failed: ')
      return json({ ID: session.id }, call.pretty)
    },
  },
  {
    method: 'PUT',
    path: '/v1/session/destroy/',
    rest: 'session',
    summary: 'Ends a session: what it holds is released, or deleted, as its behavior says',
    answers: TRUE,
    parameters: { dc: 'the datacenter of the session' },
    async handle(call, context) {
      const session = requireText(call.rest, 'Missing session').toLowerCase()
      await execute({ kind: 'session-destroy', session }, call, context, 'apply failed: ')
      return json(true, call.pretty)
    },
  },
  {
    method: 'PUT',
    path: '/v1/session/renew/',
    rest: 'session',
    summary: 'Begins the term of a session with a TTL anew; 404 when it has ended',
    answers: { 200: shows('The session', z.array(shown.session)), 404: words('It has ended') },
    parameters: { dc: 'the datacenter of the session' },
    async handle(call, context) {
      const session = requireText(call.rest, 'Missing session').toLowerCase()
      const { applied } = await execute({ kind: 'session-renew', session }, call, context, '')
      const datacenter = call.query.get('dc') || undefined
      const asking = { principal: call.principal, consistency: 'default', signal: call.request.signal } as const
      const row = applied
        ? (await context.mesh.ask({ kind: 'session', session }, { ...asking, ...(datacenter && { datacenter }) })).value
        : undefined
      if (row === undefined) throw new HttpError(404, `Session id '${call.rest}' not found`)
      return json([sessionShape(row)], call.pretty)
    },
  },
  reading<'session'>({
    path: '/v1/session/info/',
    rest: 'session',
    summary: 'A session; an empty list when there is none',
    shows: z.array(shown.session),
    meta: 'index',
    ask: (call) => {
      const session = requireText(call.rest, 'Missing session').toLowerCase()
      const fault = uuidFault(session)
      if (fault) throw new HttpError(500, `${BAD_ID}${fault}`, NO_ANSWER_META)
      return { question: { kind: 'session', session }, shape: one.of(call) }
    },
  }),
  reading<'node-sessions'>({
    path: '/v1/session/node/',
    rest: 'node',
    summary: 'The sessions that rest on a node',
    shows: z.array(shown.session),
    meta: 'index',
    ask: (call) => ({
      question: { kind: 'node-sessions', node: requireText(call.rest, 'Missing node name') },
      shape: list.of(call),
    }),
  }),
  reading<'sessions'>({
    path: '/v1/session/list',
    summary: 'All sessions of a datacenter',
    shows: z.array(shown.session),
    meta: 'index',
    ask: (call) => ({ question: { kind: 'sessions' }, shape: list.of(call) }),
  }),
]

/** What the catalog refuses is a 500 in Consul, with a prefix that tells how far it got. */
async function execute(command: Command, call: Call, { mesh }: Context, prefix: string): Promise<CommandResult> {
  const datacenter = call.query.get('dc') || undefined
  const { principal, request } = call
  try {
    return await mesh.execute(command, { principal, signal: request.signal, ...(datacenter && { datacenter }) })
  } catch (error) {
    if (!isAtollError(error) || (error.code !== 'invalid' && error.code !== 'conflict')) throw error
    const elsewhere = datacenter !== undefined && datacenter !== mesh.datacenter ? 'rpc error making call: ' : ''
    throw new HttpError(500, elsewhere + prefix + error.message)
  }
}

type Body = z.output<typeof sessionSchema>

function sessionOf(body: Body, { mesh, random }: Context): Omit<SessionEntry, 'ending'> {
  const ttl = body.TTL ?? ''
  return {
    id: random.uuid(),
    name: body.Name ?? '',
    node: body.Node || mesh.nodeName,
    lockDelayMs: lockDelayOf(body.LockDelay),
    behavior: behaviorOf(body.Behavior || 'release'),
    ttl,
    ttlMs: ttlMsOf(ttl),
    serviceChecks: body.ServiceChecks?.map(({ ID }) => ID ?? '') ?? null,
    ...nodeChecksOf(body),
  }
}

/** As Consul shows them: the old form alone if it says what the new one would, beside the default otherwise. */
function nodeChecksOf({ NodeChecks, Checks }: Body): Pick<SessionEntry, 'nodeChecks' | 'checks'> {
  if (Checks === undefined) return { nodeChecks: NodeChecks ?? [SERF_HEALTH], checks: null }
  if (Checks.length === 0) return { nodeChecks: NodeChecks ?? [], checks: null }
  const isDefault = Checks.length === 1 && Checks[0] === SERF_HEALTH
  return { nodeChecks: NodeChecks ?? [SERF_HEALTH], checks: isDefault ? null : Checks }
}

/** Numbers below 1000 are seconds, larger ones nanoseconds. */
function lockDelayOf(delayMs: number | undefined): number {
  if (delayMs === undefined) return DEFAULT_LOCK_DELAY_MS
  return delayMs > 0 && delayMs < 1e-3 ? Math.round(delayMs * 1e6) * 1000 : delayMs
}

function behaviorOf(text: string): SessionBehavior {
  if (text === 'release' || text === 'delete') return text
  throw new HttpError(500, `Invalid Behavior setting '${text}'`)
}

function ttlMsOf(text: string): number {
  if (text === '') return 0
  const ms = parseDuration(text)
  if (ms === undefined) {
    throw new HttpError(500, `Session TTL '${text}' invalid: time: invalid duration ${JSON.stringify(text)}`)
  }
  if (ms === 0) return 0
  if (ms < MIN_SESSION_TTL_MS || ms > MAX_SESSION_TTL_MS) {
    throw new HttpError(500, `Invalid Session TTL '${Math.round(ms * 1e6)}', must be between [10s=24h0m0s]`)
  }
  return ms
}
