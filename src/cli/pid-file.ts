/** The file that holds this process's id while it runs, for those who send it signals. */
import { readFile, unlink, writeFile } from 'node:fs/promises'
import { Failure } from './command.ts'

/** In place of one that an earlier process left. */
export async function writePidFile(path: string): Promise<void> {
  await writeFile(path, `${process.pid}`, { mode: 0o644 }).catch((error: NodeJS.ErrnoException) => {
    throw new Failure('unwritable', `pidFile: ${path} cannot be written (${error.code ?? error.message})`)
  })
}

/** Unless another process has put its own id there since. Does not reject. */
export async function removePidFile(path: string): Promise<void> {
  const held = await readFile(path, 'utf8').catch(() => undefined)
  if (held === String(process.pid)) await unlink(path).catch(() => {})
}
