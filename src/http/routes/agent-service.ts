/** `/v1/agent/service`: the services registered with this very node. */

import { isAtollError } from '../../model/errors.ts'
import { parseLoad } from '../../model/load.ts'
import type { LocalServiceDefinition } from '../../model/local.ts'
import { localServiceShape } from '../agent-shapes.ts'
import { done, json } from '../answer.ts'
import { decodeBody } from '../body/decode.ts'
import { readBody } from '../body/read.ts'
import { serviceRegistrationSchema } from '../body/schemas.ts'
import { boolean, DONE, duration, flag, required, shows, words } from '../described.ts'
import { badRequest, HttpError } from '../errors.ts'
import { serviceFields } from '../filter/fields.ts'
import { filterOf } from '../filter/filter.ts'
import { encodeJson, goMap, type Json } from '../json.ts'
import { blockingOptions } from '../query.ts'
import { type Call, type Context, FILTER_PARAMETER, type Route } from '../route.ts'
import * as agent from '../schemas/agent.ts'
import { requireEnable } from './agent.ts'
import { registered, serviceDefinition } from './registration.ts'

export const agentServiceRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/agent/services',
    summary: 'The services of this node, by id',
    answers: { 200: shows('The services by id', agent.localServices) },
    parameters: FILTER_PARAMETER,
    handle(call, { mesh }) {
      const filter = filterOf(call.query.get('filter'), serviceFields)?.()
      const byId: Record<string, Json> = Object.create(null)
      for (const service of mesh.agent.services()) {
        const shape = localServiceShape(service, mesh.datacenter)
        if (!filter || filter(shape)) byId[service.id] = shape
      }
      return json(
        goMap(byId, (shape) => shape),
        call.pretty,
      )
    },
  },
  {
    method: 'GET',
    path: '/v1/agent/service/',
    rest: 'id',
    summary: 'A service of this node',
    answers: {
      200: shows('The service', agent.localService, ['X-Consul-ContentHash']),
      404: words('There is none with this id'),
    },
    parameters: {
      hash: 'wait until the service differs from the one with this ContentHash',
      wait: duration('for at most so long'),
    },
    async handle(call, context) {
      const { mesh } = context
      const asked = call.query.get('hash')
      if (asked !== '') await untilDifferent(call, context, asked)
      const service = mesh.agent.service(call.rest)
      if (!service) throw new HttpError(404, `unknown service ID: ${call.rest}`)
      const hash = contentHash(service, mesh.datacenter)
      return json(localServiceShape(service, mesh.datacenter, hash), call.pretty, 200, { 'X-Consul-Contenthash': hash })
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/service/register',
    summary: 'Registers a service, with its checks, on this node',
    answers: DONE,
    parameters: { 'replace-existing-checks': flag('checks that the service had and that are not given go') },
    body: serviceRegistrationSchema,
    async handle(call, { mesh, limits, agentChanged }) {
      const body = decodeBody(serviceRegistrationSchema, await readBody(call.request, limits.maxBodyBytes))
      const replace = call.query.get('replace-existing-checks')
      const replaceExistingChecks =
        call.query.has('replace-existing-checks') && (replace === '' || replace === 'true' || replace === '1')
      await registered(mesh.agent.registerService(serviceDefinition(body), { replaceExistingChecks }))
      agentChanged.wake()
      return done()
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/service/deregister/',
    rest: 'id',
    summary: 'Removes a service and its checks from this node; one that is not there is as good as removed',
    answers: DONE,
    async handle(call, { mesh, agentChanged }) {
      if (call.rest === '') throw new HttpError(500, 'ServiceID missing')
      try {
        await mesh.agent.deregisterService(call.rest)
      } catch (error) {
        if (!isAtollError(error) || error.code !== 'not-found') throw error
      }
      agentChanged.wake()
      return done()
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/service/load/',
    rest: 'id',
    summary: 'Tells how busy a service of this node is; the catalog shows it, and it counts for `sort=load` and in DNS',
    answers: { ...DONE, 404: words('There is none with this id') },
    parameters: { load: required('a number from 0 (idle) to 1; forgotten after five minutes') },
    handle(call, { mesh }) {
      if (call.rest === '') throw badRequest('Missing service ID')
      const load = parseLoad(call.query.get('load'))
      if (load === undefined) throw badRequest('load: give a number from 0 (idle) to 1')
      mesh.agent.reportLoad(call.rest, load)
      return done()
    },
  },
  {
    method: 'PUT',
    path: '/v1/agent/service/maintenance/',
    rest: 'id',
    summary: 'Takes a service of this node out of all answers for passing instances, or back in',
    answers: { ...DONE, 404: words('There is none with this id') },
    parameters: { enable: required(boolean('true or false')), reason: 'why, for those who wonder' },
    async handle(call, { mesh }) {
      if (call.rest === '') throw badRequest('Missing service ID')
      const enable = requireEnable(call)
      if (!mesh.agent.service(call.rest)) {
        throw new HttpError(404, `No service registered with ID ${JSON.stringify(call.rest)}`)
      }
      await mesh.agent.setServiceMaintenance(call.rest, enable, call.query.get('reason'))
      return done()
    },
  },
]

/** How often a waiting request looks for changes that were not made through this face. */
const RECHECK_MS = 1_000

/** Until the service is another than the one with the hash, or the wait is over. */
async function untilDifferent(call: Call, context: Context, hash: string): Promise<void> {
  const { mesh, clock, agentChanged, blocking, closing } = context
  const { waitMs } = blockingOptions(call.query)
  const leave = blocking.enter()
  if (!leave) throw new HttpError(429, 'too many requests wait on this node', { 'Retry-After': '1' })
  const differs = (): boolean => {
    const service = mesh.agent.service(call.rest)
    return !service || contentHash(service, mesh.datacenter) !== hash
  }
  try {
    if (differs()) return
    await new Promise<void>((resolve) => {
      const finish = (): void => {
        recheck.cancel()
        end.cancel()
        forget()
        call.request.signal.removeEventListener('abort', finish)
        closing.removeEventListener('abort', finish)
        resolve()
      }
      const look = (): void => {
        if (differs()) finish()
        else forget = agentChanged.once(look)
      }
      let forget = agentChanged.once(look)
      const recheck = clock.every(RECHECK_MS, () => differs() && finish())
      const end = clock.after(waitMs, finish)
      call.request.signal.addEventListener('abort', finish)
      closing.addEventListener('abort', finish)
    })
  } finally {
    leave()
  }
}

/** FNV-1a of 64 bits over what is shown: tells versions of a definition apart, and is no secret. */
function contentHash(service: LocalServiceDefinition, datacenter: string): string {
  let hash = 0xcbf29ce484222325n
  for (const byte of new TextEncoder().encode(encodeJson(localServiceShape(service, datacenter)))) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn
  }
  return hash.toString(16).padStart(16, '0')
}
