/** A terminal for the page's commands: a shell for each, and a process group for those that run on. */
import { type ChildProcess, spawn } from 'node:child_process'
import { delimiter, join } from 'node:path'
import { PROJECT_ROOT } from '../../topology/runtimes.ts'

export interface Background {
  output(): string
  readonly ended: Promise<void>
  readonly running: boolean
  /** Ends the whole group, as closing its terminal would. */
  stop(): Promise<void>
}

const COMMAND_MS = 20_000
const STOP_MS = 12_000

/** The environment of somebody who types: the machine's own, with the project's runtimes, and nothing of this test run. */
export function environmentOf(additions: Readonly<Record<string, string>>): Record<string, string> {
  const own = Object.entries(process.env).filter(
    ([name, value]) =>
      value !== undefined && !/^(?:npm_|ATOLL_|CONSUL_|VITEST|NODE_|BUN_|DENO_|FORCE_COLOR)/.test(name),
  ) as [string, string][]
  // Under `bun --bun` a folder on the path has a `node` that is Bun.
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => !/bun-node/.test(folder))
  return {
    ...Object.fromEntries(own),
    PATH: [join(PROJECT_ROOT, 'node_modules', '.bin'), ...path].join(delimiter),
    NO_COLOR: '1',
    npm_config_update_notifier: 'false',
    ...additions,
  }
}

/** Standard output and error in the order in which they came. Rejects when it does not end in time. */
export async function type(command: string, env: Readonly<Record<string, string>>): Promise<string> {
  const child = spawn('sh', ['-c', command], {
    cwd: PROJECT_ROOT,
    env: { ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const output = collect(child)
  const ended = closing(child)
  const late = setTimeout(() => killGroup(child), COMMAND_MS)
  await ended
  clearTimeout(late)
  if (child.signalCode !== null) throw new Error(`\`${command}\` did not end within ${COMMAND_MS} ms:\n${output()}`)
  return output()
}

/**
 * A command that runs on. Its group ends when `stop` is called, and also when this process dies: a shell in it reads a
 * pipe that ends then.
 */
export function start(command: string, env: Readonly<Record<string, string>>): Background {
  const script = `exec 3<&0; (cat <&3 >/dev/null; kill -TERM 0) & ${command} </dev/null 3<&-`
  const child = spawn('sh', ['-c', script], {
    cwd: PROJECT_ROOT,
    env: { ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  child.stdin!.on('error', () => {})
  const output = collect(child)
  let running = true
  const ended = closing(child).then(() => {
    running = false
  })
  return {
    output,
    ended,
    get running() {
      return running
    },
    async stop() {
      if (!running) return
      child.stdin!.end()
      const late = setTimeout(() => killGroup(child), STOP_MS)
      await ended
      clearTimeout(late)
    },
  }
}

function collect(child: ChildProcess): () => string {
  const chunks: Uint8Array[] = []
  child.stdout!.on('data', (chunk: Uint8Array) => chunks.push(chunk))
  child.stderr!.on('data', (chunk: Uint8Array) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString()
}

/** Everything has been read, and nobody holds the pipes any more. */
const closing = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => resolve())
  })

/** By a shell: not every runtime signals groups. */
function killGroup({ pid }: ChildProcess): void {
  spawn('sh', ['-c', `kill -s KILL -- -${pid}`], { stdio: 'ignore' }).on('error', () => {})
}
