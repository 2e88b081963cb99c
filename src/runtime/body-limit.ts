import type { HttpServerOptions } from './ports.ts'

/** The declared length of a body, or undefined when it is sent in chunks or absent. */
export function declaredLength(headers: Headers): number | undefined {
  const text = headers.get('content-length')
  return text === null ? undefined : Number(text)
}

/** The bound for a request to that path (with its query). */
export function limitOf({ maxBodyBytes, large }: HttpServerOptions, target: string): number {
  return large !== undefined && (target === large.path || target.startsWith(`${large.path}?`))
    ? large.maxBodyBytes
    : maxBodyBytes
}

/** Reads at most `maxBytes`; undefined when there is more. */
export async function readBounded(
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    length += value.byteLength
    if (length > maxBytes) {
      reader.cancel().catch(() => {})
      return undefined
    }
    chunks.push(value)
  }
  return concat(chunks, length)
}

export function concat(chunks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.byteLength
  }
  return whole
}

export const tooLargeText = (maxBytes: number): string => `body: larger than the limit of ${maxBytes} bytes\n`

export const tooLarge = (maxBytes: number): Response =>
  new Response(tooLargeText(maxBytes), {
    status: 413,
    headers: { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close' },
  })
