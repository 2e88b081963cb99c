import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Disk } from './ports.ts'

/** Numbers the temporary files of this process; leftovers of a killed one are overwritten. */
let temporaryFiles = 0
const TEMPORARY = /^\..*\.\d+\.tmp$/

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'

/** Files through `node:fs`, which behaves the same on all three runtimes. */
export const systemDisk: Disk = {
  async makeDirectory(path) {
    await mkdir(path, { recursive: true })
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
    try {
      return (await readdir(path)).filter((name) => !TEMPORARY.test(name)).sort()
    } catch (error) {
      if (isMissing(error)) return []
      throw error
    }
  },

  async remove(path) {
    await rm(path, { force: true, recursive: true })
  },

  join,
}

async function writeSynced(path: string, data: Uint8Array, mode = 0o666): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    await file.writeFile(data)
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
