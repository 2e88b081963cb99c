/**
 * Bodies compressed for clients that ask for it: once for each body, however many it goes to. Small ones are not worth it,
 * and large ones would hold up everybody else for as long as it takes: both are sent as they are.
 */
import { gzipSync } from 'node:zlib'
import type { Encoded } from './answer.ts'

const MIN_BYTES = 1_024
/** Some 3 ms of work. */
const MAX_BYTES = 256 * 1024
/** Quick: half the work of the usual level for a tenth more bytes. */
const LEVEL = 1

/** Whether the header allows gzip: named, or by `*`, and not with a quality of 0. */
export function acceptsGzip(acceptEncoding: string): boolean {
  if (acceptEncoding === '' || acceptEncoding === 'gzip') return acceptEncoding !== ''
  for (const part of acceptEncoding.split(',')) {
    const [name = '', ...parameters] = part.split(';')
    if (!/^\s*(gzip|x-gzip|\*)\s*$/i.test(name)) continue
    const quality = parameters.find((parameter) => /^\s*q\s*=/i.test(parameter))
    return quality === undefined || Number(quality.split('=')[1]) > 0
  }
  return false
}

const zipped = new WeakMap<Encoded, Encoded>()

/** The same, compressed where that is worth it. */
export function gzipped(encoded: Encoded): Encoded {
  const { bytes } = encoded
  if (bytes === null || bytes.length < MIN_BYTES || bytes.length > MAX_BYTES) return encoded
  let known = zipped.get(encoded)
  if (known === undefined) {
    const packed = new Uint8Array(gzipSync(bytes, { level: LEVEL }))
    known = { ...encoded, bytes: packed, headers: { ...encoded.headers, 'Content-Encoding': 'gzip' } }
    zipped.set(encoded, known)
  }
  return known
}
