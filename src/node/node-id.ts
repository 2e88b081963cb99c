import { AtollError, messageOf } from '../model/errors.ts'
import type { Disk, Random } from '../runtime/ports.ts'

const FILE = 'node-id'
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The node's UUID, kept in its data directory; a new one each time without a directory. One that is configured wins. */
export async function loadNodeId(
  disk: Disk,
  random: Random,
  directory: string | undefined,
  configured?: string,
): Promise<string> {
  if (directory === undefined) return configured ?? random.uuid()
  try {
    return await keptNodeId(disk, random, directory, configured)
  } catch (error) {
    if (error instanceof AtollError) throw error
    const message = `dataDirectory: ${directory} cannot be used: ${messageOf(error)}`
    throw new AtollError('invalid', message, { field: 'dataDirectory', cause: error })
  }
}

async function keptNodeId(
  disk: Disk,
  random: Random,
  directory: string,
  configured: string | undefined,
): Promise<string> {
  const path = disk.join(directory, FILE)
  const stored = await disk.read(path)
  if (stored !== undefined && configured === undefined) {
    const id = new TextDecoder().decode(stored).trim()
    if (UUID.test(id)) return id
    throw new AtollError(
      'invalid',
      `${path}: "${id.slice(0, 40)}" is no node id (a UUID); restore it, or remove it to join as a new node`,
      {
        field: 'dataDirectory',
      },
    )
  }
  const id = configured ?? random.uuid()
  await disk.makeDirectory(directory)
  await disk.writeAtomic(path, new TextEncoder().encode(`${id}\n`))
  return id
}
