/** A server that lost its disk is given back what a backup has. */
import { copyFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freePorts } from '../../topology/free-ports.ts'
import { ask } from '../../topology/node-api.ts'
import { eventually } from '../cluster/harness.ts'
import { type AtollProcess, startAtoll } from './atoll-process.ts'

let folder: string
let port: number
let server: AtollProcess
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-backups-'))
  const free = await freePorts(1)
  port = free[0]!
})
afterEach(async () => {
  server.child.kill('SIGKILL')
  await server.ended
  await rm(folder, { recursive: true, force: true })
})

async function start(...more: readonly string[]): Promise<void> {
  const own = ['--server', '--dc', 'eu-1', '--data-dir', join(folder, 'data'), '--http-port', String(port)]
  server = startAtoll(['agent', ...own, '--port', '0', '--dns-port', '-1', ...more])
  await server.line()
}
const snapshot = async (...args: readonly string[]): Promise<string> => {
  const ran = startAtoll(['snapshot', ...args])
  expect(await ran.ended, ran.stderr()).toBe(0)
  return Buffer.from(ran.stdout()).toString()
}
const url = (key: string): string => `http://127.0.0.1:${port}/v1/kv/${key}`

test('a backup is written while the server runs, and restored into an empty one', { timeout: 60_000 }, async () => {
  const config = join(folder, 'atoll.json')
  await writeFile(config, JSON.stringify({ store: { backups: { everyMs: 1_000, kept: 1 } } }))
  await start('--config', config)
  await ask(url('kept'), { method: 'PUT', body: 'as it was' })
  const index = Number((await ask(url('kept'))).headers.get('X-Consul-Index'))
  const backups = join(folder, 'data', 'backups')
  const saved = join(folder, 'saved.snap')
  await eventually('a backup has what was written', async () => {
    const names = await readdir(backups).catch(() => [])
    const name = names.find((each) => Number(/-(\d+)\.snap$/.exec(each)?.[1]) >= index)
    // One that is replaced meanwhile may be gone.
    return (
      name !== undefined &&
      (await copyFile(join(backups, name), saved).then(
        () => true,
        () => false,
      ))
    )
  })
  expect(await snapshot('inspect', saved)).toContain('checksum good')
  server.child.kill('SIGKILL')
  await server.ended
  await rm(join(folder, 'data'), { recursive: true })
  await start()
  expect((await ask(`${url('kept')}?raw`)).status).toBe(404)
  await snapshot('restore', saved, '--address', `http://127.0.0.1:${port}`)
  expect(await ask(`${url('kept')}?raw`)).toMatchObject({ status: 200, body: 'as it was' })
})
