/** `/v1/health`: services with the checks that count for them, and the checks themselves. */
import * as z from 'zod'
import type { CheckRow, Status } from '../../model/entries.ts'
import type { RoutedInstance } from '../../resolver/mesh.ts'
import { encodedJson, metaHeaders, respond } from '../answer.ts'
import { boolean, repeated, shows } from '../described.ts'
import { checkFields, healthFields } from '../filter/fields.ts'
import { keptShape } from '../kept.ts'
import { META_HEADERS } from '../openapi/headers.ts'
import { asksPeer, nearOf, nodeMetaOf, parseBool, type Query, readOptions, sortOf } from '../query.ts'
import { jsonShape, listShape, reading } from '../reading.ts'
import { type Call, FILTER_PARAMETER, NODE_PARAMETERS, PEER_PARAMETER, type Route, SORT_PARAMETER } from '../route.ts'
import * as shown from '../schemas/entries.ts'
import { checkShape, healthShape } from '../shapes.ts'
import { requireText } from '../words.ts'

const entries = listShape<RoutedInstance>(healthFields, healthShape)
const checks = listShape<CheckRow>(checkFields, checkShape)
const none = jsonShape<unknown>(() => [])

/** The flag counts by being there, unless its value says no. */
function passingOf(query: Query): boolean | undefined {
  if (!query.has('passing')) return false
  const value = query.get('passing')
  return value === '' ? true : parseBool(value)
}

export function askService(call: Call) {
  const { query } = call
  const passing = passingOf(query)
  const nodeMeta = nodeMetaOf(query)
  return {
    question: {
      kind: 'service',
      service: requireText(call.rest, 'Missing service name'),
      passing: passing ?? false,
      tags: query.all('tag'),
      near: nearOf(query),
      ...sortOf(query),
      nodeMeta,
    } as const,
    shape: asksPeer(query) ? none.of(call) : entries.of(call),
    noFailover: query.get('filter') !== '' || nodeMeta !== undefined || asksPeer(query),
    ...(passing === undefined && { refuse: 'Invalid value for ?passing' }),
  }
}

const STATES: readonly string[] = ['any', 'passing', 'warning', 'critical'] satisfies (Status | 'any')[]

export const healthRoutes: readonly Route[] = [
  reading<'service'>({
    path: '/v1/health/service/',
    rest: 'service',
    summary: 'The instances of a service with their checks',
    shows: z.array(shown.healthEntry),
    parameters: {
      passing: boolean(
        'only instances whose checks all pass; without any here, those of another datacenter may answer',
      ),
      tag: repeated('repeated: only instances that carry all, in any case'),
      ...PEER_PARAMETER,
      ...SORT_PARAMETER,
      ...NODE_PARAMETERS,
      ...FILTER_PARAMETER,
    },
    meta: 'full',
    cacheable: true,
    ask: askService,
  }),
  reading<'service'>({
    path: '/v1/health/connect/',
    rest: 'service',
    summary: 'Always empty: Atoll has no proxies of its own',
    shows: z.array(shown.healthEntry),
    meta: 'full',
    ask: (call) => ({
      question: { kind: 'service', service: requireText(call.rest, 'Missing service name'), passing: false, tags: [] },
      shape: none.of(call),
      noFailover: true,
    }),
  }),
  {
    method: 'GET',
    path: '/v1/health/ingress/',
    rest: 'service',
    summary: 'Always empty: Atoll has no gateways of a service mesh',
    answers: { 200: shows('Nothing', z.array(shown.healthEntry), META_HEADERS.full) },
    async handle(call, { mesh }) {
      const { ask } = readOptions(call.query, call.principal, null)
      const answer = await mesh.ask({ kind: 'services' }, ask)
      return respond(encodedJson([], call.pretty), metaHeaders({ ...answer, index: 1 }, 'full', 'blocking-query'))
    },
  },
  reading<'service-checks'>({
    path: '/v1/health/checks/',
    rest: 'service',
    summary: 'The checks of a service',
    shows: z.array(shown.check),
    parameters: { ...PEER_PARAMETER, ...NODE_PARAMETERS, ...FILTER_PARAMETER },
    meta: 'full',
    ask: (call) => ({
      question: {
        kind: 'service-checks',
        service: requireText(call.rest, 'Missing service name'),
        near: nearOf(call.query),
        nodeMeta: nodeMetaOf(call.query),
      },
      shape: asksPeer(call.query) ? none.of(call) : checks.of(call),
    }),
  }),
  reading<'node-checks'>({
    path: '/v1/health/node/',
    rest: 'node',
    summary: 'The checks of a node and of all its services',
    shows: z.array(shown.check),
    parameters: FILTER_PARAMETER,
    meta: 'full',
    ask: (call) => ({
      question: { kind: 'node-checks', node: requireText(call.rest, 'Missing node name') },
      shape: checks.of(call),
    }),
  }),
  reading<'state'>({
    path: '/v1/health/state/',
    rest: 'state',
    summary: 'The checks in a state: any, passing, warning or critical',
    shows: z.array(shown.check),
    parameters: { ...NODE_PARAMETERS, ...FILTER_PARAMETER },
    meta: 'full',
    ask(call) {
      const state = requireText(call.rest, 'Missing check state')
      // Consul answers for a state that no check is in, whatever it is called.
      const known = STATES.includes(state)
      return {
        question: {
          kind: 'state',
          state: known ? (state as Status | 'any') : 'any',
          near: nearOf(call.query),
          nodeMeta: nodeMetaOf(call.query),
        },
        shape: known ? checks.of(call) : keptShape(() => encodedJson([], call.pretty)),
      }
    },
  }),
]
