/** What commands read besides flags: files and standard input, bounded. */
import { open } from 'node:fs/promises'
import { Failure, type Io } from './command.ts'

/** Far above what any value or definition may be; the node has the exact limits. */
const MAX_BYTES = 8 * 1024 * 1024

/** The bytes of a file, or of standard input for `-`. */
export async function readInput(source: string, io: Io): Promise<Uint8Array> {
  return source === '-' ? readAll(io.stdin, 'standard input') : readFileBounded(source)
}

async function readFileBounded(path: string): Promise<Uint8Array> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw new Failure('unreadable', `${path} cannot be read (${error.code ?? error.message})`)
  })
  try {
    const stat = await file.stat()
    if (stat.isDirectory()) throw new Failure('unreadable', `${path} is a directory`)
    if (stat.size > MAX_BYTES) throw tooLarge(path)
    return await file.readFile()
  } finally {
    await file.close()
  }
}

async function readAll(stream: AsyncIterable<Uint8Array | string>, name: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream) {
    const bytes = typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk
    size += bytes.length
    if (size > MAX_BYTES) throw tooLarge(name)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks)
}

const tooLarge = (name: string): Failure => new Failure('too-large', `${name} is larger than ${MAX_BYTES} bytes`)
