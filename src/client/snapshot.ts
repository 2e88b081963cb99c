/** Archives of all that a datacenter's catalog holds. */
import { ClientError } from './error.ts'
import type { CallOptions, Transport } from './transport.ts'

export interface SnapshotClient {
  /** The archive, gzipped, as it comes. `inspectSnapshot` tells whether all of it did. */
  save(options?: CallOptions): Promise<ReadableStream<Uint8Array>>
  /** Makes the catalog hold what the archive does. Rejects with ClientError when it is damaged: then nothing was changed. */
  restore(archive: Uint8Array, options?: CallOptions): Promise<void>
}

export function snapshotClient(transport: Transport): SnapshotClient {
  return {
    async save(options = {}) {
      const { body } = await transport.open({ method: 'GET', path: '/v1/snapshot', ...options })
      if (!body) throw new ClientError('bad-answer', 'an empty answer instead of an archive')
      return body
    },
    async restore(archive, options = {}) {
      await transport.call({ method: 'PUT', path: '/v1/snapshot', body: archive, timeoutMs: 600_000, ...options })
    },
  }
}

export interface SnapshotInfo {
  readonly datacenter: string
  readonly generation: number
  readonly revision: number
  readonly index: number
  readonly entries: number
  /** Unpacked. */
  readonly bytes: number
}

const MAGIC = 'atoll-snapshot\n'
const END = 0x5a

const damaged = (what: string): ClientError => new ClientError('invalid', `the archive is damaged: ${what}`)

/** What an archive holds, once its checksum was found right; the format is that of `src/catalog/snapshot.ts`. */
export async function inspectSnapshot(archive: Uint8Array): Promise<SnapshotInfo> {
  const bytes = await unpack(archive)
  const text = (from: number, to: number): string => new TextDecoder().decode(bytes.subarray(from, to))
  if (text(0, MAGIC.length) !== MAGIC) throw new ClientError('invalid', 'this is no archive of Atoll')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let head: Omit<SnapshotInfo, 'entries' | 'bytes'> | undefined
  for (let at = MAGIC.length; at + 5 <= bytes.length; ) {
    const next = at + 5 + view.getUint32(at + 1)
    if (next > bytes.length) throw damaged('it is cut off')
    if (head === undefined) head = jsonOf(text(at + 5, next)) as typeof head
    if (bytes[at] === END) {
      const end = jsonOf(text(at + 5, next)) as { entries: number; sha256: string }
      const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes.slice(0, at)))
      const hex = [...sum].map((byte) => byte.toString(16).padStart(2, '0')).join('')
      if (hex !== end.sha256) throw damaged('its checksum is another')
      const { datacenter, generation, revision, index } = head!
      return { datacenter, generation, revision, index, entries: end.entries, bytes: bytes.length }
    }
    at = next
  }
  throw damaged('its end is missing')
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw damaged('a part of it cannot be read')
  }
}

async function unpack(archive: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  if (archive[0] !== 0x1f || archive[1] !== 0x8b) throw new ClientError('invalid', 'this is no gzipped archive')
  const stream = new Blob([archive.slice()]).stream().pipeThrough(new DecompressionStream('gzip'))
  try {
    return new Uint8Array(await new Response(stream).arrayBuffer())
  } catch (error) {
    throw new ClientError('invalid', 'the archive is damaged: it cannot be unpacked', { cause: error })
  }
}
