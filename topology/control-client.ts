/** The other terminal's side of the control endpoint. */
import type { ControlAnswer, ControlRequest } from './control.ts'
import { LauncherError, messageOf } from './errors.ts'
import {
  type ControlFile,
  directoriesOf,
  findControlFiles,
  readControlFile,
  removeControlFile,
} from './state-directory.ts'

/** A restart waits until the node is ready again. */
const ANSWER_TIMEOUT_MS = 45_000
const ALIVE_TIMEOUT_MS = 1000

/** Whether the launcher that wrote the file still lives. One that is too busy to answer in time does. */
export async function isAlive(file: ControlFile): Promise<boolean> {
  try {
    process.kill(file.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  try {
    const response = await post(file, { command: 'status' }, ALIVE_TIMEOUT_MS)
    await response.body?.cancel()
    // Another program may have the port by now; it does not know the token.
    return response.ok
  } catch (error) {
    return error instanceof DOMException && error.name === 'TimeoutError'
  }
}

/** The running mesh of that name, or the only one that runs. Rejects with LauncherError when there is none, or several. */
export async function findMesh(name: string | undefined): Promise<ControlFile> {
  if (name !== undefined) {
    const file = await readControlFile(directoriesOf(name).control)
    if (file !== undefined && (await isAlive(file))) return file
    throw new LauncherError(`no mesh "${name}" runs; start it with \`npm run topology -- up topology/${name}.json\``)
  }
  const files = await findControlFiles()
  const alive = await Promise.all(files.map(isAlive))
  const running = files.filter((_, index) => alive[index])
  if (running.length === 1) return running[0]!
  if (running.length === 0) throw new LauncherError('no mesh runs; start one with `npm start` in another terminal')
  throw new LauncherError(
    `several meshes run: ${running.map((each) => each.name).join(', ')}; say which with --mesh NAME`,
  )
}

/** Rejects with LauncherError: what the launcher said, or that it cannot be reached. */
export async function callControl(file: ControlFile, request: ControlRequest): Promise<ControlAnswer> {
  let response: Response
  let body: unknown
  try {
    response = await post(file, request, ANSWER_TIMEOUT_MS)
    body = await response.json()
  } catch (error) {
    throw new LauncherError(`the launcher of "${file.name}" (pid ${file.pid}) does not answer: ${messageOf(error)}`)
  }
  if (response.ok) return body as ControlAnswer
  const said = (body as { error?: unknown }).error
  throw new LauncherError(typeof said === 'string' ? said : `the launcher answered ${response.status}`)
}

/** Takes away a control file whose launcher died, so that a new one can begin. Rejects when it lives. */
export async function clearStale(name: string): Promise<void> {
  const path = directoriesOf(name).control
  const file = await readControlFile(path)
  if (file !== undefined && (await isAlive(file))) {
    throw new LauncherError(
      `the mesh "${name}" runs already (pid ${file.pid}); \`npm run topology -- down --mesh ${name}\` ends it, ` +
        'or run another one under --name NAME with other ports',
    )
  }
  await removeControlFile(path)
}

const post = (file: ControlFile, request: ControlRequest, timeoutMs: number): Promise<Response> =>
  fetch(`http://127.0.0.1:${file.port}/command`, {
    method: 'POST',
    headers: { authorization: `Bearer ${file.token}`, 'content-type': 'application/json' },
    body: JSON.stringify(request),
    signal: AbortSignal.timeout(timeoutMs),
  })
