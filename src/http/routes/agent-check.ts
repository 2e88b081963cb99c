/** `/v1/agent/check`: the checks that this node runs or is told about. */

import type { Status } from '../../model/entries.ts'
import { isAtollError } from '../../model/errors.ts'
import { localCheckShape } from '../agent-shapes.ts'
import { done, json } from '../answer.ts'
import { decodeBody } from '../body/decode.ts'
import { readBody } from '../body/read.ts'
import { checkRegistrationSchema, ttlUpdateSchema } from '../body/schemas.ts'
import { DONE, shows } from '../described.ts'
import { badRequest, HttpError } from '../errors.ts'
import { checkFields } from '../filter/fields.ts'
import { filterOf } from '../filter/filter.ts'
import { goMap, type Json } from '../json.ts'
import { type Context, FILTER_PARAMETER, type Route } from '../route.ts'
import * as agent from '../schemas/agent.ts'
import { checkDefinition, isStatus, registered } from './registration.ts'

export const agentCheckRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/agent/checks',
    summary: 'The checks of this node, by id',
    answers: { 200: shows('The checks by id', agent.localChecks) },
    parameters: FILTER_PARAMETER,
    handle(call, { mesh }) {
      const filter = filterOf(call.query.get('filter'), checkFields)?.()
      const byId: Record<string, Json> = Object.create(null)
      for (const check of mesh.agent.checks()) {
        const shape = localCheckShape(check, mesh.nodeName)
        if (!filter || filter(shape)) byId[check.definition.checkId] = shape
      }
      return json(
        goMap(byId, (shape) => shape),
        call.pretty,
      )
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/check/register',
    summary: 'Registers a check of this node, or of one of its services',
    answers: DONE,
    body: checkRegistrationSchema,
    async handle(call, { mesh, limits }) {
      const body = decodeBody(checkRegistrationSchema, await readBody(call.request, limits.maxBodyBytes))
      const definition = checkDefinition(body)
      if (definition.serviceId !== '' && !mesh.agent.service(definition.serviceId)) {
        throw new HttpError(500, `ServiceID ${JSON.stringify(definition.serviceId)} does not exist`)
      }
      await registered(mesh.agent.registerCheck(definition))
      return done()
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/check/deregister/',
    rest: 'id',
    summary: 'Removes a check from this node; one that is not there is as good as removed',
    answers: DONE,
    async handle(call, { mesh }) {
      if (call.rest === '') throw new HttpError(500, 'CheckID missing')
      try {
        await mesh.agent.deregisterCheck(call.rest)
      } catch (error) {
        if (!isAtollError(error) || error.code !== 'not-found') throw error
      }
      return done()
    },
  },
  ttlRoute('pass', 'passing'),
  ttlRoute('warn', 'warning'),
  ttlRoute('fail', 'critical'),
  {
    method: 'PUT',
    path: '/v1/agent/check/update/',
    rest: 'id',
    summary: 'Tells the status and the output of a TTL check',
    answers: DONE,
    body: ttlUpdateSchema,
    async handle(call, context) {
      const body = decodeBody(ttlUpdateSchema, await readBody(call.request, context.limits.maxBodyBytes))
      const status = body.Status ?? ''
      if (!isStatus(status)) throw badRequest(`Invalid check status: '${status}'`)
      const { Load: load } = body
      if (load !== undefined && !(load >= 0 && load <= 1)) throw badRequest('Load: give a number from 0 (idle) to 1')
      await updateTtl(context, call.rest, status, body.Output ?? '', load)
      return done()
    },
  },
]

function ttlRoute(verb: string, status: Status): Route {
  return {
    method: 'PUT',
    path: `/v1/agent/check/${verb}/`,
    rest: 'id',
    summary: `Tells that a TTL check is ${status}`,
    parameters: { note: 'shown as its output' },
    answers: DONE,
    async handle(call, context) {
      await updateTtl(context, call.rest, status, call.query.get('note'))
      return done()
    },
  }
}

async function updateTtl({ mesh }: Context, id: string, status: Status, output: string, load?: number): Promise<void> {
  try {
    await mesh.agent.updateTtl(id, status, output, load)
  } catch (error) {
    if (!isAtollError(error) || (error.code !== 'not-found' && error.code !== 'invalid')) throw error
    throw new HttpError(500, `CheckID ${JSON.stringify(id)} does not have associated TTL`)
  }
}
