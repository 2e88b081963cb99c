/** Programs of the system: found, started and ended. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createConnection } from 'node:net'
import { delimiter, join } from 'node:path'

/** Where a program may be, and which Debian package brings it. */
const PACKAGES: Readonly<Record<string, string>> = {
  dig: 'bind9-dnsutils',
  kdig: 'knot-dnsutils',
  dnsperf: 'dnsperf',
  haproxy: 'haproxy',
  nginx: 'nginx',
  unbound: 'unbound',
  dnsmasq: 'dnsmasq',
  prometheus: 'prometheus',
  python3: 'python3-consul',
}
const FOLDERS = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin']
/** What the package brings beside a program that is there anyway. */
const ALSO: Readonly<Record<string, string>> = { python3: '/usr/lib/python3/dist-packages/consul/__init__.py' }

/** The system's own first: other versions lack the system's packages. */
export function pathOf(program: string): string | undefined {
  const folders = [...FOLDERS, ...(process.env.PATH ?? '').split(delimiter)]
  if (ALSO[program] !== undefined && !existsSync(ALSO[program])) return undefined
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path))
}

/** Whether to run what needs these programs. Where one is missing: in CI an error, elsewhere a line that says how to get it. */
export function haveAll(programs: readonly string[]): boolean {
  const missing = programs.filter((program) => pathOf(program) === undefined)
  if (missing.length === 0) return true
  const how = `apt-get install ${missing.map((program) => PACKAGES[program]).join(' ')}`
  if (process.env.CI) throw new Error(`missing: ${missing.join(', ')}; ${how}`)
  console.log(`test/peers is skipped: ${missing.join(', ')} not found; ${how}`)
  return false
}

export interface Program {
  output(): string
  /** Lines of standard output so far. */
  lines(): string[]
  readonly running: boolean
  stop(): Promise<void>
}

export interface StartOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  /** Resolves once something accepts TCP connections there. */
  readonly port?: number
}

const START_MS = 15_000

export async function start(program: string, args: readonly string[], options: StartOptions): Promise<Program> {
  const child: ChildProcess = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let all = ''
  child.stdout!.on('data', (chunk: Buffer) => {
    out += chunk.toString()
    all += chunk.toString()
  })
  child.stderr!.on('data', (chunk: Buffer) => {
    all += chunk.toString()
  })
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const isRunning = (): boolean => child.pid !== undefined && child.exitCode === null && child.signalCode === null
  const deadline = performance.now() + START_MS
  while (options.port !== undefined && !(await accepts(options.port))) {
    if (isRunning() && performance.now() < deadline) await new Promise((wake) => setTimeout(wake, 50))
    else {
      child.kill('SIGKILL')
      throw new Error(`${program} does not listen on ${options.port}: ${all}`)
    }
  }
  return {
    output: () => all,
    lines: () => out.split('\n').slice(0, -1),
    get running() {
      return isRunning()
    },
    async stop() {
      if (isRunning()) child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), 2_000)
      await exited
      clearTimeout(late)
    },
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' })
    const end = (is: boolean) => () => {
      socket.destroy()
      resolve(is)
    }
    socket.once('connect', end(true))
    socket.once('error', end(false))
  })
}

/** Standard output of a program that ends. Rejects with all it said when it fails. */
export function run(program: string, args: readonly string[], options: { cwd?: string } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, [...args], { ...options, timeout: 20_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(' ')}: ${error.message}\n${stdout}${stderr}`))
      else resolve(stdout)
    })
  })
}
