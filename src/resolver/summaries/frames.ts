/**
 * Many small values under keys, in one run of bytes that is made once and sent to all: each is the length of its key (16
 * bits), the key, the length of its value (32 bits), the value. Without a value the key is gone.
 */
import { AtollError } from '../../model/errors.ts'

export interface Entry {
  readonly key: string
  readonly value: Uint8Array | undefined
}

const HEAD = 6
const NO_VALUE = 0xffffffff
const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function encodeEntry({ key, value }: Entry): Uint8Array {
  const name = encoder.encode(key)
  const bytes = new Uint8Array(HEAD + name.length + (value?.length ?? 0))
  const view = new DataView(bytes.buffer)
  view.setUint16(0, name.length)
  bytes.set(name, 2)
  view.setUint32(2 + name.length, value === undefined ? NO_VALUE : value.length)
  if (value) bytes.set(value, HEAD + name.length)
  return bytes
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** Values are copies of their own. Throws AtollError 'unavailable' for what is cut off. */
export function decodeEntries(bytes: Uint8Array): Entry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const entries: Entry[] = []
  let at = 0
  const take = (length: number): number => {
    const from = at
    if (length > bytes.length - at) throw new AtollError('unavailable', 'a server sent summaries that are cut off')
    at += length
    return from
  }
  while (at < bytes.length) {
    const keyLength = view.getUint16(take(2))
    const keyAt = take(keyLength)
    const key = decoder.decode(bytes.subarray(keyAt, at))
    const length = view.getUint32(take(4))
    if (length === NO_VALUE) entries.push({ key, value: undefined })
    else {
      const valueAt = take(length)
      entries.push({ key, value: bytes.slice(valueAt, at) })
    }
  }
  return entries
}
