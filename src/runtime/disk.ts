import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Disk } from './ports.ts'

/** Numbers the temporary files of this process; leftovers of a killed one are overwritten. */
let temporaryFiles = 0
const TEMPORARY = /^\..*\.\d+\.tmp$/

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'

/** Files through `node:fs`, which behaves the same on all three runtimes. */
export const systemDisk: Disk = {
  async makeDirectory(path) {
    await makePath(path)
  },

  async read(path) {
    try {
      const data = await readFile(path)
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  },

  async writeAtomic(path, data, options = {}) {
    const folder = dirname(path)
    const temporary = join(folder, `.${basename(path)}.${temporaryFiles++}.tmp`)
    try {
      await rm(temporary, { force: true })
      await writeSynced(temporary, data, options.mode)
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {})
      throw error
    }
    await syncFolder(folder)
  },

  async list(path) {
    return (await namesIn(path)).filter((name) => !TEMPORARY.test(name)).sort()
  },

  async removeTemporary(path) {
    for (const name of await namesIn(path)) if (TEMPORARY.test(name)) await rm(join(path, name), { force: true })
  },

  async remove(path) {
    await rm(path, { force: true, recursive: true })
  },

  join,
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

async function writeSynced(path: string, data: Uint8Array | AsyncIterable<Uint8Array>, mode = 0o666): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    if (data instanceof Uint8Array) await file.writeFile(data)
    else for await (const part of data) await file.appendFile(part)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Makes a rename within it durable. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Each missing folder in turn: Node's own `recursive` never ends where folders cannot be made (below /proc). */
async function makePath(path: string): Promise<void> {
  const code = await tryMake(path)
  if (code !== 'ENOENT') return
  const parent = dirname(path)
  if (parent !== path) await makePath(parent)
  if ((await tryMake(path)) === 'ENOENT') throw new Error(`${path}: no folder can be made here`)
}

/** Undefined when the folder is there afterwards, ENOENT when its parent is missing. */
async function tryMake(path: string): Promise<'ENOENT' | undefined> {
  try {
    await mkdir(path)
    return undefined
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return 'ENOENT'
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return undefined
    throw error
  }
}
