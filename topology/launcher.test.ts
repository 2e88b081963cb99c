/** The launcher as a process, with nodes that only pretend: how it starts, obeys, fails and ends. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { onNode } from '../test/support/on-node.ts'
import { freeBlock } from './free-ports.ts'
import { commandLine } from './runtimes.ts'
import type { TopologyInput } from './schema.ts'

let folder: string
let base: number
let launcher: Launched | undefined

interface Launched {
  readonly process: ChildProcess
  output(): string
  readonly ended: Promise<number | NodeJS.Signals>
}

const environment = () => ({
  ...process.env,
  ATOLL_STATE: join(folder, 'state'),
  NO_COLOR: '1',
  npm_lifecycle_event: undefined,
})

function run(script: string, args: readonly string[]): Launched {
  const [file, ...rest] = commandLine('node', script, args)
  const child = spawn(file!, rest, { env: environment() as NodeJS.ProcessEnv, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout!.on('data', (chunk) => {
    output += chunk
  })
  child.stderr!.on('data', (chunk) => {
    output += chunk
  })
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.on('close', (code, signal) => resolve(code ?? signal!))
  })
  return { process: child, output: () => output, ended }
}

async function up(changes: Partial<TopologyInput> = {}): Promise<Launched> {
  const file = join(folder, 'mesh.json')
  const topology: TopologyInput = {
    name: 'test-mesh',
    datacenters: [{ name: 'a' }, { name: 'b', clients: 0 }],
    links: [{ between: ['a', 'b'], rttMs: 80 }],
    ports: { http: base, libp2p: base + 10, dns: base + 30, services: base + 20, step: 1 },
    services: [{ name: 'web', instances: { a: 2 } }],
    ...changes,
  }
  await writeFile(file, JSON.stringify(topology))
  launcher = run('topology/testing/fake-up.ts', [file])
  return launcher
}

async function command(...args: string[]): Promise<{ code: unknown; output: string }> {
  const ran = run('topology/main.ts', args)
  return { code: await ran.ended, output: ran.output() }
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not ${what}; the launcher says:\n${launcher?.output()}`)
    await new Promise((wake) => setTimeout(wake, 20))
  }
}
const isUp = () => until('up', () => launcher!.output().includes('Ctrl-C stops everything'))

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function pids(): Promise<number[]> {
  const { output } = await command('status', '--json')
  return (JSON.parse(output) as { nodes: { pid: number }[] }).nodes.map((node) => node.pid)
}

const answers = async (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(1000) }).then(
    async (response) => {
      await response.body?.cancel()
      return true
    },
    () => false,
  )

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-launcher-'))
  base = await freeBlock(40)
})
afterEach(async () => {
  if (launcher !== undefined && isRunning(launcher.process.pid!)) process.kill(launcher.process.pid!, 'SIGKILL')
  await launcher?.ended
  launcher = undefined
  await until('all ports free', async () => !(await answers(base)) && !(await answers(base + 20)))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe.runIf(onNode)('a mesh that runs', () => {
  it('shows itself, obeys another terminal, and ends at Ctrl-C', async () => {
    await up()
    await isUp()
    const shown = launcher!.output()
    expect(shown).toContain(`http://localhost:${base}`)
    expect(shown).toContain('80.4')
    expect(shown).toContain(join('state', 'test-mesh', 'logs'))
    expect(await (await fetch(`http://127.0.0.1:${base + 1}/registered`)).json()).toEqual(['web-1', 'web-2'])
    expect(await (await fetch(`http://127.0.0.1:${base}/settings`)).json()).toMatchObject({
      mesh: 'atoll',
      join: [`/ip4/127.0.0.1/tcp/${base + 12}`],
    })

    expect((await command('cut', 'a', 'b')).output).toBe('a <-> b: cut\n')
    const view = (await (await fetch(`http://127.0.0.1:${base}/view`)).json()) as { links: unknown }
    expect(view.links).toEqual([{ between: ['a', 'b'], rttMs: 80, cut: true }])
    expect((await command('heal', 'b')).output).toBe('a <-> b: 80 ms\n')
    expect((await command('delay', 'b', 'a', '120')).output).toBe('a <-> b: 120 ms\n')
    expect(await answers(base + 20)).toBe(true)
    await command('stop-service', 'a', 'web')
    expect(await answers(base + 20)).toBe(false)
    await command('start-service', 'a')
    expect(await answers(base + 20)).toBe(true)

    const wrong = await command('cut', 'a', 'c')
    expect(wrong).toEqual({ code: 1, output: 'no datacenter "c" in this mesh; there are a, b\n' })
    const started = await pids()
    process.kill(launcher!.process.pid!, 'SIGINT')
    expect(await launcher!.ended).toBe(0)
    expect(started.filter(isRunning)).toEqual([])
    expect(await readdir(join(folder, 'state', 'test-mesh'))).not.toContain('control.json')
  })

  it('kills, restarts, stops and continues nodes', async () => {
    await up()
    await isUp()
    const [first] = await pids()
    expect((await command('kill', 'a')).output).toContain('a-server, a-client')
    expect(isRunning(first!)).toBe(false)
    expect((await command('kill', 'a-server')).output).toContain('a-server is killed')
    expect((await command('status')).output).toMatch(/a-server .*killed/)
    expect((await command('restart', 'a-server')).output).toContain('a-server')
    expect(await answers(base)).toBe(true)
    expect((await command('stop', 'b')).output).toContain('b-server')
    expect((await command('cut', 'a', 'b')).output).toBe('a <-> b: cut\n')
    expect((await command('cont', 'b-server')).output).toContain('b-server')
    await until('told of the cut', async () => {
      const view = (await (await fetch(`http://127.0.0.1:${base + 2}/view`)).json()) as { links: { cut: boolean }[] }
      return view.links[0]!.cut
    })
    expect((await command('down')).output).toContain('everything has ended')
    expect(await launcher!.ended).toBe(0)
  })

  it('leaves nothing behind when it is killed, not even a node that is stopped', async () => {
    await up()
    await isUp()
    const started = await pids()
    await command('stop', 'a-client')
    process.kill(launcher!.process.pid!, 'SIGKILL')
    await until('all gone', () => !started.some(isRunning))
    await until('the backends gone', async () => !(await answers(base + 20)))
    expect((await command('status')).output).toContain('no mesh runs')
    // The control file that it left is no obstacle.
    await up()
    await isUp()
  })

  it('says when a node ends that nobody ended', async () => {
    await up()
    await isUp()
    process.kill((await pids())[2]!, 'SIGKILL')
    await until('told', () => launcher!.output().includes('b-server ended by SIGKILL'))
    expect((await command('status')).output).toMatch(/b-server .*ended/)
  })

  it('ends at once at a second Ctrl-C', async () => {
    await up({ datacenters: [{ name: 'slow', clients: 0 }], links: [], services: [] })
    await isUp()
    const started = await pids()
    process.kill(launcher!.process.pid!, 'SIGINT')
    await until('stopping', () => launcher!.output().includes('Ctrl-C: stopping'))
    // npm passes a Ctrl-C on that the launcher got already: two in quick succession are one.
    process.kill(launcher!.process.pid!, 'SIGINT')
    await new Promise((wake) => setTimeout(wake, 500))
    expect(isRunning(launcher!.process.pid!)).toBe(true)
    const again = performance.now()
    process.kill(launcher!.process.pid!, 'SIGINT')
    expect(await launcher!.ended).toBe(130)
    expect(performance.now() - again).toBeLessThan(2000)
    await until('all gone', () => !started.some(isRunning))
  })

  it('does not run twice under one name', async () => {
    await up()
    await isUp()
    const first = launcher!
    const second = await up()
    expect(await second.ended).toBe(1)
    expect(second.output()).toContain('the mesh "test-mesh" runs already')
    launcher = first
  })
})

describe.runIf(onNode)('a mesh that cannot start', () => {
  it('names the port that is taken and how to move it', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(base + 11, '127.0.0.1', resolve))
    try {
      await up()
      expect(await launcher!.ended).toBe(1)
      expect(launcher!.output()).toContain(`port ${base + 11} (libp2p of a-client) is in use`)
      expect(launcher!.output()).toContain('--libp2p-port PORT (or "ports.libp2p" in the file)')
    } finally {
      await new Promise((resolve) => other.close(resolve))
    }
  })

  it('shows the last log lines of a node that ends early, and ends the others', async () => {
    await up({ datacenters: [{ name: 'a' }, { name: 'broken', clients: 0 }], links: [], matrix: { a: { broken: 1 } } })
    expect(await launcher!.ended).toBe(1)
    expect(launcher!.output()).toContain('broken-server ended with code 7')
    expect(launcher!.output()).toContain('Error: the disk is made of cheese')
    const log = await readFile(join(folder, 'state', 'test-mesh', 'logs', 'broken-server.log'), 'utf8')
    expect(log).toContain('first line of what went wrong')
    expect(await answers(base)).toBe(false)
  })

  it('passes on why a node cannot start', async () => {
    await up({ datacenters: [{ name: 'failing', clients: 0 }], links: [], services: [] })
    expect(await launcher!.ended).toBe(1)
    expect(launcher!.output()).toContain('failing-server cannot start: dataDirectory: is made of cheese')
  })

  it('says what is wrong with the file', async () => {
    await up({ links: [] })
    expect(await launcher!.ended).toBe(1)
    expect(launcher!.output()).toContain('links: no round-trip time between a and b')
  })
})

describe.runIf(onNode)('the command line', () => {
  it.each([
    [['cut'], 'usage: npm run topology -- cut DC [DC]'],
    [['delay', 'a', 'b', 'fast'], 'MILLISECONDS: "fast" is no number'],
    [['explode'], 'there is no command "explode"'],
    [['up', 'no-such'], 'no-such: there is no such file'],
    [['up', '--http-port', '70000'], '--http-port: "70000" is no port'],
    [['status', '--mesh', 'other'], 'no mesh "other" runs'],
    [['status'], 'no mesh runs; start one with `npm start`'],
  ])('%j', async (args, expected) => {
    const { code, output } = await command(...args)
    expect(output).toContain(expected)
    expect(code).toBe(1)
  })
})
