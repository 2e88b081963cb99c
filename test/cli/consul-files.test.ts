/** A node from files and flags as Consul's users have them, in a process of its own. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AtollProcess, endAtoll, runAtoll, startAtoll } from './atoll-process.ts'
import { runCli } from './harness.ts'

let folder: string
let atoll: AtollProcess | undefined
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-consul-files-'))
})
afterEach(async () => {
  await endAtoll(atoll)
  atoll = undefined
  await rm(folder, { recursive: true, force: true })
})

const file = async (name: string, value: unknown): Promise<string> => {
  const path = join(folder, name)
  await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value))
  return path
}

describe('an agent', () => {
  it('starts, reloads and leaves as its files say', async () => {
    const pidFile = join(folder, 'pid')
    await mkdir(join(folder, 'conf.d'))
    const config = await file('consul.json', {
      server: true,
      bootstrap: true,
      data_dir: join(folder, 'data'),
      node_name: 'n1',
      node_id: '6f9c2b9e-5a54-4d7c-8c63-0123456789ab',
      node_meta: { rack: 'r1' },
      pid_file: pidFile,
      leave_on_terminate: true,
      performance: { raft_multiplier: 1 },
      ports: { http: 0, dns: -1, serf_lan: 0 },
    })
    await file('conf.d/b.hcl', 'services {\n  name = "db"\n  port = 5432\n}\n')
    await file('conf.d/a.json', { service: { name: 'web', port: 80, check: { ttl: '1h', status: 'passing' } } })
    await file('conf.d/notes.txt', 'no configuration')
    atoll = startAtoll([
      'agent',
      '-config-file',
      config,
      `-config-dir=${join(folder, 'conf.d')}`,
      '-datacenter',
      'eu-1',
      '-node-meta',
      'zone:z1',
      '-json',
    ])
    const { Node, Datacenter, HTTP, DNS } = JSON.parse(await atoll.line())
    expect([Node, Datacenter, DNS]).toEqual(['n1', 'eu-1', undefined])
    expect(atoll.stderr()).toBe(`${config}: performance: has no effect: there is no Raft in Atoll\n`)
    expect(await readFile(pidFile, 'utf8')).toBe(String(atoll.child.pid))
    const get = async (path: string): Promise<Record<string, never>> =>
      (await fetch(`${HTTP}/v1/${path}`)).json() as never
    expect(await get('agent/self')).toMatchObject({
      Config: { NodeID: '6f9c2b9e-5a54-4d7c-8c63-0123456789ab' },
      Meta: { rack: 'r1', zone: 'z1' },
    })
    expect(await get('agent/services')).toMatchObject({ web: { Port: 80 }, db: { Port: 5432 } })

    const byApi = { method: 'PUT', body: JSON.stringify({ Name: 'by-api' }) }
    expect((await fetch(`${HTTP}/v1/agent/service/register`, byApi)).status).toBe(200)
    await rm(join(folder, 'conf.d/b.hcl'))
    await file('conf.d/a.json', { service: { name: 'web', port: 81, check: { ttl: '1h', status: 'passing' } } })
    // Not `child.kill`: Deno takes the signal for the way in which the process ends.
    process.kill(atoll.child.pid!, 'SIGHUP')
    while (!atoll.stderr().includes('reloaded\n'))
      await new Promise((resolve) => atoll!.child.stderr!.once('data', resolve))
    const services = await get('catalog/services')
    expect(Object.keys(services).sort()).toEqual(['by-api', 'consul', 'web'])
    expect(await get('agent/services')).toMatchObject({ web: { Port: 81 } })

    await file('conf.d/a.json', { service: { name: 'web', port: 'eighty' } })
    const refused = await fetch(`${HTTP}/v1/agent/reload`, { method: 'PUT' })
    expect(refused.status).toBe(400)
    expect(await refused.text()).toContain(
      `${join(folder, 'conf.d/a.json')}: service "web": json: cannot unmarshal string into Go struct field .Port`,
    )
    expect(await get('agent/services')).toMatchObject({ web: { Port: 81 } })

    process.kill(atoll.child.pid!, 'SIGTERM')
    expect(await atoll.ended).toBe(0)
    expect(existsSync(pidFile)).toBe(false)
  })
})

describe('a mistake ends the start, and names file and field', () => {
  it.each([
    [{ ports: { http: 'x' } }, 'ports.http: expected a whole number, not "x"'],
    [{ sevrer: true }, "sevrer: Consul's configuration has no such field"],
    ['{"server": tru', 'is no JSON'],
    ['server = tru', 'line 1, column 10: expected a value', 'x.hcl'],
    ['ports { http = "x" }', 'ports.http: expected a whole number, not "x"', 'x.hcl'],
  ])('%j', async (value, message, name = 'x.json') => {
    const config = await file(name, value)
    const { code, err } = await runCli(['agent', '-dev', '-config-file', config])
    expect(code).toBe(2)
    expect(err).toContain(config)
    expect(err).toContain(message)
  })

  it('of a definition', async () => {
    const config = await file('x.json', { service: { name: 'web', check: { name: 'c' } } })
    const argv = ['agent', '-dev', '-http-port=0', '-dns-port=-1', '-port=0', '-config-file', config]
    const { code, err } = await runAtoll(argv)
    expect(code).toBe(1)
    expect(err).toContain(`${config}: service "web": Invalid check: TTL must be > 0 for TTL checks`)
  })
})

it('tells its version as tools ask for it', async () => {
  const { code, out } = await runCli(['version', '-format=json'])
  expect(code).toBe(0)
  expect(JSON.parse(out).Version).toMatch(/^\d+\.\d+\.\d+$/)
  expect((await runCli(['-version'])).out).toMatch(/^atoll \d+\.\d+\.\d+/)
})
