/** What the suites of other clients have in common: a table of their tests, and a place to run them in. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'

export interface Outcome {
  readonly suite: string
  readonly test: string
  readonly result: 'passed' | 'failed' | 'skipped'
  /** Why it was skipped, or the first lines of what failed. */
  readonly reason: string
}

/** Tests that are not of what Atoll has, by name, and why. */
export type Skips = readonly (readonly [RegExp, string])[]

export const skipOf = (name: string, skips: Skips): string | undefined =>
  skips.find(([pattern]) => pattern.test(name))?.[1]

export interface RunOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs: number
}

/** What a program said on both of its outputs; it is ended when it takes longer. */
export async function output(file: string, args: readonly string[], options: RunOptions): Promise<string> {
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.timeout(options.timeoutMs),
  })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const [code] = await Promise.race([
    once(child, 'close'),
    once(child, 'error').then(([error]) => {
      throw error
    }),
  ])
  return code === 0 ? text : `${text}\nexit ${code}\n`
}

export async function killLeftovers(pids: string): Promise<void> {
  for (const pid of await readdir(pids)) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has ended, as most have.
    }
  }
}

export function table(outcomes: readonly Outcome[]): string {
  const bySuite = Map.groupBy(outcomes, ({ suite }) => suite)
  const lines = ['| suite | passed | failed | skipped |', '| --- | --- | --- | --- |']
  const count = (list: readonly Outcome[], result: Outcome['result']): number =>
    list.filter((one) => one.result === result).length
  for (const [suite, list] of bySuite) {
    lines.push(`| ${suite} | ${count(list, 'passed')} | ${count(list, 'failed')} | ${count(list, 'skipped')} |`)
  }
  lines.push('', '| suite | skipped because | tests |', '| --- | --- | --- |')
  for (const [suite, list] of bySuite) {
    const skipped = list.filter(({ result }) => result === 'skipped')
    for (const [reason, those] of Map.groupBy(skipped, (one) => one.reason)) {
      lines.push(`| ${suite} | ${reason} | ${those.map(({ test }) => test).join(', ')} |`)
    }
  }
  for (const { suite, test, reason } of outcomes.filter(({ result }) => result === 'failed')) {
    lines.push('', `FAILED ${suite} ${test}`, reason)
  }
  return lines.join('\n')
}
