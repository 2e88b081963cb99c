import { afterEach, describe, expect, it } from 'vitest'
import type { ControlRequest } from './control.ts'
import { callControl } from './control-client.ts'
import { type ControlServer, serveControl } from './control-server.ts'
import { LauncherError } from './errors.ts'

let server: ControlServer | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

async function serving(seen: ControlRequest[] = []): Promise<ControlServer> {
  server = await serveControl(async (request) => {
    seen.push(request)
    if (request.command === 'kill') throw new LauncherError('no node "x"')
    if (request.command === 'restart') throw new Error('a bug')
    return { text: 'done' }
  })
  return server
}

const fileOf = ({ port, token }: ControlServer) => ({ name: 'test', pid: process.pid, port, token })
const post = (to: ControlServer, body: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${to.port}/command`, {
    method: 'POST',
    body,
    headers: { authorization: `Bearer ${to.token}`, ...headers },
  })

describe('the control endpoint', () => {
  it('carries out a command and answers with its text', async () => {
    const seen: ControlRequest[] = []
    const to = await serving(seen)
    expect(await callControl(fileOf(to), { command: 'cut', a: 'eu-1', b: 'us-1' })).toEqual({ text: 'done' })
    expect(seen).toEqual([{ command: 'cut', a: 'eu-1', b: 'us-1' }])
  })

  it('passes on what cannot be done, and what went wrong', async () => {
    const to = await serving()
    await expect(callControl(fileOf(to), { command: 'kill', target: 'x' })).rejects.toThrow('no node "x"')
    await expect(callControl(fileOf(to), { command: 'restart', target: 'x' })).rejects.toThrow('a bug')
  })

  it('refuses a wrong token, another path, a large body and what is no command', async () => {
    const seen: ControlRequest[] = []
    const to = await serving(seen)
    const status = async (answer: Promise<Response>): Promise<number> => {
      const response = await answer
      await response.body?.cancel()
      return response.status
    }
    expect(await status(post(to, '{"command":"down"}', { authorization: 'Bearer x' }))).toBe(403)
    expect(await status(post(to, '{"command":"down"}', { authorization: '' }))).toBe(403)
    expect(await status(fetch(`http://127.0.0.1:${to.port}/`))).toBe(404)
    expect(await status(post(to, JSON.stringify({ command: 'kill', target: 'x'.repeat(10_000) })))).toBe(413)
    expect(await status(post(to, 'no JSON'))).toBe(400)
    expect(await status(post(to, '{"command":"explode"}'))).toBe(400)
    const wrong = await post(to, '{"command":"delay","a":"eu-1","b":"us-1","rttMs":-1}')
    expect(wrong.status).toBe(400)
    expect(((await wrong.json()) as { error: string }).error).toMatch(/^rttMs: /)
    expect(seen).toEqual([])
  })

  it('says so when the launcher is gone', async () => {
    const to = await serving()
    const file = fileOf(to)
    await to.close()
    await expect(callControl(file, { command: 'status' })).rejects.toThrow('the launcher of "test"')
  })
})
