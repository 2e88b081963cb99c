/** A folder for PATH with a `consul` that is Atoll from these sources. */
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PROJECT_ROOT } from '../../../topology/runtimes.ts'

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

/** `pids`: a folder in which each that is started leaves its id, for who has to end what a suite leaves behind. */
export async function consulOnPath(folder: string): Promise<{ readonly path: string; readonly pids: string }> {
  const [path, pids] = [join(folder, 'bin'), join(folder, 'pids')]
  await mkdir(path, { recursive: true })
  await mkdir(pids, { recursive: true })
  const script = join(path, 'consul')
  const main = join(PROJECT_ROOT, 'src/main.ts')
  const node = join(PROJECT_ROOT, 'node_modules/.bin/node')
  await writeFile(script, `#!/bin/sh\n: > ${quoted(pids)}/$$\nexec ${quoted(node)} ${quoted(main)} "$@"\n`)
  await chmod(script, 0o755)
  return { path, pids }
}
