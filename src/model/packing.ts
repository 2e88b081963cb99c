import { type Packr, RESET_BUFFER_MODE } from 'msgpackr'

/** The buffer that all pack into grows to four times what it must hold; a larger one is let go of. */
const MAX_SHARED_BYTES = 2 << 20
const SHARED_BYTES = 8 << 10

/**
 * Packs into a buffer of its own size. msgpackr hands out views of a buffer that it fills on and on: what is kept or waits
 * would hold all of it, and a long run of large values has it make ever new ones.
 */
export function packCopy(packr: Packr, value: unknown): Uint8Array {
  const shared = packr.pack(value, RESET_BUFFER_MODE)
  const bytes = new Uint8Array(shared)
  if (shared.buffer.byteLength > MAX_SHARED_BYTES) packr.useBuffer(Buffer.allocUnsafeSlow(SHARED_BYTES))
  return bytes
}
