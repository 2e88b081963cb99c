import { badRequest, HttpError } from '../errors.ts'

/** The whole body, or an HttpError 413 as soon as it is longer than `maxBytes`: a longer one is never held. */
export async function readBody(
  request: Request,
  maxBytes: number,
  tooLong: (length: number) => string = (length) =>
    `Request body(${length} bytes) too large, max size: ${maxBytes} bytes`,
): Promise<Uint8Array> {
  const declared = Number(request.headers.get('content-length') ?? Number.NaN)
  if (declared > maxBytes) throw new HttpError(413, tooLong(declared))
  // With a declared length the server holds no more than that; only chunked bodies are counted as they come.
  if (!Number.isNaN(declared)) {
    const body = new Uint8Array(await request.arrayBuffer().catch(cutOff))
    if (body.length > maxBytes) throw new HttpError(413, tooLong(body.length))
    return body
  }
  if (request.body === null) return new Uint8Array(0)
  const chunks: Uint8Array[] = []
  let length = 0
  const reader = request.body.getReader()
  for (;;) {
    const { done, value } = await reader.read().catch(cutOff)
    if (done) break
    length += value.length
    if (length > maxBytes) {
      await reader.cancel()
      throw new HttpError(413, tooLong(length))
    }
    chunks.push(value)
  }
  const body = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    body.set(chunk, at)
    at += chunk.length
  }
  return body
}

/** What ends a body early is the client's doing, and mostly nobody is left to read this. */
export function cutOff(): never {
  throw badRequest('the connection ended before the body was whole')
}
