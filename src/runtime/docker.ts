/** Docker's API, as far as running a program in a container goes. */
import { type IncomingMessage, type RequestOptions, request } from 'node:http'
import { AtollError } from '../model/errors.ts'
import { LastBytes } from './last-bytes.ts'
import type { DockerExec } from './probes.ts'

const LOCAL = 'unix:///var/run/docker.sock'
/** Of answers that are JSON. */
const MAX_JSON_BYTES = 1 << 20

/** `daemon`: as DOCKER_HOST has it, unix://path or tcp://host:port. */
export const dockerExecAt =
  (daemon: string = process.env.DOCKER_HOST || LOCAL): DockerExec =>
  async ({ containerId, args, maxOutputBytes, signal }) => {
    const to = addressOf(daemon)
    const post = (path: string, body: unknown) => call(to, 'POST', path, signal, body)
    const container = encodeURIComponent(containerId)
    const created = await json(
      await post(`/containers/${container}/exec`, {
        AttachStdin: false,
        AttachStdout: true,
        AttachStderr: true,
        Tty: false,
        Cmd: args,
      }),
    )
    const id = encodeURIComponent(String(created.Id))
    const output = new LastBytes(maxOutputBytes)
    await demultiplex(await post(`/exec/${id}/start`, { Detach: false, Tty: false }), output)
    const { ExitCode } = await json(await call(to, 'GET', `/exec/${id}/json`, signal))
    const exitCode = typeof ExitCode === 'number' ? ExitCode : undefined
    return { exitCode, output: output.bytes(), outputBytes: output.total }
  }

function addressOf(daemon: string): RequestOptions {
  if (daemon.startsWith('unix://')) return { socketPath: daemon.slice('unix://'.length) }
  const match = /^(?:tcp|http):\/\/(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})\/?$/.exec(daemon)
  if (match) return { host: match[1] ?? match[2]!, port: Number(match[3]) }
  throw new AtollError('invalid', `DOCKER_HOST: "${daemon}" is neither unix://path nor tcp://host:port`)
}

/** The answer's head, with its body to be read. Rejects for a status that is no success, with what the daemon says. */
async function call(
  to: RequestOptions,
  method: string,
  path: string,
  signal: AbortSignal,
  body?: unknown,
): Promise<IncomingMessage> {
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = {
      // The daemon refuses HTTP/1.1 without it; its value does not matter.
      Host: 'docker',
      ...(bytes && { 'Content-Type': 'application/json', 'Content-Length': String(bytes.length) }),
    }
    const asked = request({ ...to, method, path, headers, agent: false, signal }, resolve)
    asked.on('error', (error) => reject(signal.aborted ? signal.reason : error))
    asked.end(bytes)
  })
  const status = answer.statusCode ?? 0
  if (status >= 200 && status < 300) return answer
  const { message } = await json(answer).catch(() => ({ message: undefined }))
  throw new AtollError('unavailable', `Docker answers ${status}: ${typeof message === 'string' ? message : path}`)
}

async function json(answer: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of answer as AsyncIterable<Uint8Array>) {
    length += chunk.length
    if (length > MAX_JSON_BYTES) throw new AtollError('too-large', 'Docker answers more than it has to')
    chunks.push(chunk)
  }
  const value: unknown = JSON.parse(Buffer.concat(chunks).toString())
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

/** Frames of both outputs: a byte for which, three of zero, the length in four, and that many bytes. */
async function demultiplex(answer: IncomingMessage, output: LastBytes): Promise<void> {
  let head: number[] = []
  let left = 0
  for await (const chunk of answer as AsyncIterable<Uint8Array>) {
    let at = 0
    while (at < chunk.length) {
      if (left === 0) {
        head.push(chunk[at++]!)
        if (head.length < 8) continue
        left = head.slice(4).reduce((sum, byte) => sum * 256 + byte, 0)
        head = []
        continue
      }
      const part = chunk.subarray(at, at + left)
      output.push(part)
      at += part.length
      left -= part.length
    }
  }
}
