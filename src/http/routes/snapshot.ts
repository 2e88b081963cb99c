/** `/v1/snapshot`: all that a datacenter's catalog holds, as one archive. */

import { isAtollError } from '../../model/errors.ts'
import { allHeaders, done, encodedNothing, NO_ANSWER_META } from '../answer.ts'
import { readBody } from '../body/read.ts'
import { DONE, flag, streams } from '../described.ts'
import { HttpError } from '../errors.ts'
import { META } from '../openapi/headers.ts'
import type { Call, Route } from '../route.ts'

const parameters = { dc: 'the datacenter of the asked server, which must be a server of it' }

export const snapshotRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/snapshot',
    summary:
      'An archive of nodes, services, checks, keys, sessions and events as of one moment, with a checksum, gzipped',
    parameters: { ...parameters, stale: flag('taken, and answered as without') },
    answers: { 200: streams('The archive', 'application/x-gzip', META) },
    async handle(call, { mesh }) {
      const { index, bytes } = await mesh.home.saveSnapshot(options(call))
      const body = streamOf(bytes).pipeThrough(new CompressionStream('gzip'))
      const meta = { ...NO_ANSWER_META, 'X-Consul-Index': String(index), 'X-Consul-Knownleader': 'true' }
      const { 'Content-Length': _, ...headers } = allHeaders(encodedNothing(200), meta)
      return new Response(body, { status: 200, headers: { ...headers, 'Content-Type': 'application/x-gzip' } })
    },
  },
  {
    method: 'PUT',
    path: '/v1/snapshot',
    summary: 'Makes the catalog hold what an archive does. Indexes rise; nothing else that was written since is kept',
    parameters,
    rawBody: 'The archive',
    answers: DONE,
    async handle(call, { mesh, limits }) {
      const packed = await readBody(call.request, limits.maxSnapshotBytes)
      const archive = await unpack(packed, limits.maxSnapshotBytes)
      try {
        await mesh.home.restoreSnapshot(archive, options(call))
      } catch (error) {
        if (isAtollError(error) && error.code === 'invalid') throw new HttpError(500, error.message)
        throw error
      }
      return done()
    },
  },
]

function options(call: Call) {
  const datacenter = call.query.get('dc') || undefined
  return { principal: call.principal, ...(datacenter && { datacenter }) }
}

/** Pulled by who reads it: nothing is read from the store ahead of that. */
function streamOf(bytes: AsyncGenerator<Uint8Array<ArrayBuffer>>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await bytes.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    async cancel() {
      await bytes.return(undefined)
    },
  })
}

const notGzip = (): HttpError => new HttpError(500, 'failed to decompress snapshot: gzip: invalid header')

/** A bomb is given up as soon as it is larger than an archive may be. */
async function unpack(packed: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  if (packed[0] !== 0x1f || packed[1] !== 0x8b) throw notGzip()
  const body = new Blob([packed as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream('gzip'))
  const chunks: Uint8Array[] = []
  let length = 0
  const reader = body.getReader()
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new HttpError(500, 'failed to decompress snapshot: it is cut off or damaged')
    })
    if (done) break
    length += value.length
    if (length > maxBytes) {
      await reader.cancel().catch(() => {})
      throw new HttpError(413, `the snapshot unpacks to more than ${maxBytes} bytes, its limit`)
    }
    chunks.push(value)
  }
  return Buffer.concat(chunks)
}
