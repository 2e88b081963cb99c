/** Where a mesh keeps what it leaves on disk: `.atoll/<name>/`, with logs, data and the way to its control endpoint. */
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { PROJECT_ROOT } from './runtimes.ts'

/** ATOLL_STATE puts it elsewhere. */
export const stateRoot = (): string => process.env.ATOLL_STATE ?? join(PROJECT_ROOT, '.atoll')

export const directoriesOf = (name: string) => {
  const root = join(stateRoot(), name)
  return { root, logs: join(root, 'logs'), data: join(root, 'data'), control: join(root, 'control.json') }
}

const controlFile = z.object({
  name: z.string(),
  pid: z.number().int().positive(),
  port: z.number().int().min(1).max(65_535),
  token: z.string().min(16),
})
/** How other processes of the same user reach a running launcher. */
export type ControlFile = z.output<typeof controlFile>

/** False when there is one already. Readable by its owner alone: it holds the token. */
export async function writeControlFile(path: string, content: ControlFile): Promise<boolean> {
  await mkdir(join(path, '..'), { recursive: true })
  try {
    const file = await open(path, 'wx', 0o600)
    await file.writeFile(`${JSON.stringify(content)}\n`)
    await file.close()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** undefined when there is none, or it is no such file. */
export async function readControlFile(path: string): Promise<ControlFile | undefined> {
  try {
    return controlFile.parse(JSON.parse(await readFile(path, 'utf8')))
  } catch {
    return undefined
  }
}

export const removeControlFile = (path: string): Promise<void> => rm(path, { force: true })

/** Every control file there is; its launcher may be gone. */
export async function findControlFiles(): Promise<ControlFile[]> {
  const names = await readdir(stateRoot()).catch(() => [])
  const found = await Promise.all(names.map((name) => readControlFile(directoriesOf(name).control)))
  return found.filter((each) => each !== undefined)
}
