/** `/v1/coordinate`: network coordinates, by which distances are estimated. */
import * as z from 'zod'
import type { Coordinate, CoordinateRow } from '../../model/coordinate.ts'
import { COORDINATE_DIMENSIONS } from '../../model/coordinate.ts'
import { AtollError } from '../../model/errors.ts'
import type { AnswerValue } from '../../resolver/mesh.ts'
import { done, encodedJson, encodedNothing, metaHeaders, respond } from '../answer.ts'
import { decodeBody } from '../body/decode.ts'
import { readBody } from '../body/read.ts'
import { coordinateUpdateSchema } from '../body/schemas.ts'
import { DONE, nothing, shows } from '../described.ts'
import { HttpError } from '../errors.ts'
import { keptShape } from '../kept.ts'
import { META_HEADERS } from '../openapi/headers.ts'
import { readOptions } from '../query.ts'
import { type JsonShape, jsonShape, reading, waitForAnswer } from '../reading.ts'
import { READ_PARAMETERS, type Route } from '../route.ts'
import * as shown from '../schemas/entries.ts'
import { coordinateShape } from '../shapes.ts'

const all = jsonShape<readonly CoordinateRow[]>((rows) => rows.map(coordinateShape))
const datacenters = jsonShape<AnswerValue<'coordinate-datacenters'>>((list) =>
  list.map(({ datacenter, coordinates }) => ({
    Datacenter: datacenter,
    AreaID: 'wan',
    Coordinates: coordinates.map(coordinateShape),
  })),
)

/** Those of one network segment, where the request names one. */
const rows: JsonShape<readonly CoordinateRow[]> = {
  of(call) {
    if (!call.query.has('segment')) return all.of(call)
    const segment = call.query.get('segment')
    return keptShape((list) =>
      encodedJson(list.filter((row) => row.segment === segment).map(coordinateShape), call.pretty),
    )
  },
}
const segmentParameter = { segment: 'only those of this network segment' }

export const coordinateRoutes: readonly Route[] = [
  reading<'coordinate-datacenters'>({
    path: '/v1/coordinate/datacenters',
    summary: 'The servers of all datacenters with their coordinates',
    shows: z.array(shown.datacenterCoordinates),
    meta: 'none',
    ask: (call) => ({ question: { kind: 'coordinate-datacenters' }, shape: datacenters.of(call) }),
  }),
  reading<'coordinates'>({
    path: '/v1/coordinate/nodes',
    summary: 'The coordinates of the nodes of a datacenter',
    shows: z.array(shown.nodeCoordinate),
    parameters: segmentParameter,
    meta: 'index',
    metaOnNoPath: true,
    ask: (call) => ({ question: { kind: 'coordinates' }, shape: rows.of(call) }),
  }),
  {
    method: 'GET',
    path: '/v1/coordinate/node/',
    rest: 'node',
    summary: 'The coordinates of a node; 404 when it has none',
    answers: {
      200: shows('Its coordinates', z.array(shown.nodeCoordinate), META_HEADERS.index),
      404: nothing('It has none'),
    },
    parameters: { ...READ_PARAMETERS, ...segmentParameter },
    async handle(call, context) {
      const { ask, ...read } = readOptions(call.query, call.principal, null)
      const prepared = context.mesh.prepare({ kind: 'coordinates', node: call.rest }, ask)
      const answer = read.index > 0 ? await waitForAnswer(prepared, read, call, context) : await prepared.answer()
      if (answer.value.length === 0) return respond(encodedNothing(404))
      const headers = metaHeaders(answer, 'index', 'blocking-query')
      return respond(rows.of(call).encode(answer.value, answer.datacenter), headers, call.gzip)
    },
  },
  {
    method: 'PUT',
    path: '/v1/coordinate/update',
    summary: 'Sets the coordinate of a node',
    answers: DONE,
    parameters: { dc: 'the datacenter of the node, where the body names none' },
    body: coordinateUpdateSchema,
    async handle(call, { mesh, limits }) {
      const body: Partial<z.output<typeof coordinateUpdateSchema>> = decodeBody(
        coordinateUpdateSchema,
        await readBody(call.request, limits.maxBodyBytes),
      )
      if (!body.Coord) {
        throw new AtollError('invalid', 'Coord: missing; give Vec, Error, Adjustment and Height', { field: 'Coord' })
      }
      const { Vec = [], Error: error = 0, Adjustment = 0, Height = 0 } = body.Coord
      if (Vec.length !== COORDINATE_DIMENSIONS) throw new HttpError(500, 'incompatible coordinate')
      const coordinate: Coordinate = { vec: Vec, error, adjustment: Adjustment, height: Height }
      const datacenter = body.Datacenter || call.query.get('dc')
      await mesh.execute(
        { kind: 'coordinate-update', node: body.Node ?? '', segment: body.Segment ?? '', coordinate },
        { principal: call.principal, ...(datacenter && { datacenter }) },
      )
      return done()
    },
  },
]
