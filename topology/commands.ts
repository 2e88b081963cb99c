/** The commands of another terminal: found mesh, one request, its answer as text or JSON. */
import type { ControlRequest, LauncherStatus } from './control.ts'
import { callControl, findMesh } from './control-client.ts'
import { LauncherError } from './errors.ts'
import { observe } from './observe.ts'
import { nodeTable, roundTripTable, serviceTable } from './report.ts'
import { styleFor } from './terminal.ts'

/** An orderly end takes a node at most four seconds. */
const DOWN_MS = 10_000

export async function command(request: ControlRequest, options: { mesh?: string; json: boolean }): Promise<number> {
  const file = await findMesh(options.mesh)
  const answer = await callControl(file, request)
  if (answer.status !== undefined) await showStatus(answer.status, options.json)
  else if (options.json) process.stdout.write(`${JSON.stringify({ done: request.command, text: answer.text })}\n`)
  else process.stdout.write(`${answer.text}\n`)
  if (request.command === 'down') await ended(file.pid)
  return 0
}

async function showStatus(status: LauncherStatus, json: boolean): Promise<void> {
  const seen = await observe(status)
  if (json) {
    process.stdout.write(`${JSON.stringify({ ...status, seen }, undefined, 2)}\n`)
    return
  }
  const style = styleFor(process.stdout)
  const parts = [
    [`${style.bold(status.name)}  ${style.dim(`${status.phase}, pid ${status.pid}, ${status.stateDirectory}`)}`],
    nodeTable(status, style),
    roundTripTable(status, seen, style),
    serviceTable(status, seen, style),
  ]
  for (const lines of parts) if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n\n`)
}

async function ended(pid: number): Promise<void> {
  const deadline = performance.now() + DOWN_MS
  while (performance.now() < deadline) {
    try {
      process.kill(pid, 0)
    } catch {
      process.stdout.write('everything has ended\n')
      return
    }
    await new Promise((wake) => setTimeout(wake, 50))
  }
  throw new LauncherError(`the launcher (pid ${pid}) still runs after ${DOWN_MS / 1000} s`)
}
