/** A hundred seeds of the simulation, that all of it occurs, and that it finds what is planted. docs/simulation.md */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { onNode } from '../support/on-node.ts'
import { bugNames, loadBug, MESH } from './bugs.ts'
import { Coverage } from './coverage.ts'
import { runSeeds, type SeedsReport } from './seeds.ts'

/** Of small meshes, in which more comes together; a few of the full size beside them. */
const SEEDS = Number(process.env.ATOLL_SIM_SEEDS ?? (onNode ? 100 : 20))
const FULL_SEEDS = Math.ceil(SEEDS / 50)
const FIRST = Number(process.env.ATOLL_SIM_FIRST ?? 1)
const STEPS = Number(process.env.ATOLL_SIM_STEPS ?? 4000)

const program = fileURLToPath(new URL('run.ts', import.meta.url))
const root = fileURLToPath(new URL('../..', import.meta.url))

/** What run.ts reports, in a process of its own. */
function run(command: string, args: readonly string[]): Promise<SeedsReport> {
  return new Promise((resolve, reject) => {
    execFile(command, [...args, '--json'], { cwd: root, timeout: 60_000 }, (error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout) as SeedsReport)
      } catch {
        reject(error ?? new Error(stderr))
      }
    })
  })
}

describe('the simulated mesh', () => {
  it(`keeps every invariant in ${SEEDS + FULL_SEEDS} seeds, in which everything occurs`, { timeout: 120_000 }, () => {
    const coverage = new Coverage()
    const small = runSeeds({ from: FIRST, seeds: SEEDS, steps: STEPS, ...MESH, coverage })
    const full = runSeeds({ from: FIRST, seeds: FULL_SEEDS, steps: STEPS, coverage })
    expect([...small.failures, ...full.failures]).toEqual([])
    if (onNode) expect(coverage.missing()).toEqual([])
  })

  it('does the same again for the same seed, and something else for another', () => {
    const hashOf = (from: number) => runSeeds({ from, seeds: 1, steps: 1500, ...MESH, coverage: new Coverage() }).hash
    expect(hashOf(7)).toBe(hashOf(7))
    expect(hashOf(7)).not.toBe(hashOf(8))
  })

  it.runIf(onNode)('does the same on Node, Deno and Bun', { timeout: 60_000 }, async () => {
    const args = [program, '--seeds', '3', '--steps', '2000', '--datacenters', '4', '--gateways', '2']
    const bin = (name: string): string => `node_modules/.bin/${name}`
    const reports = await Promise.all([
      run(process.execPath, args),
      run(bin('deno'), ['run', '-A', ...args]),
      run(bin('bun'), args),
    ])
    expect(new Set(reports.map(({ hash }) => hash)).size).toBe(1)
    expect(reports[0]!.failures).toEqual([])
  })
})

describe.runIf(onNode)('a planted bug is found', () => {
  it.each(bugNames())('%s', { timeout: 60_000 }, async (name) => {
    const { fromSeed = 1, withinSeeds, mesh = MESH } = await loadBug(name)
    const size = ['--datacenters', `${mesh.datacenters}`, '--gateways', `${mesh.gateways}`]
    const seeds = ['--from', `${fromSeed}`, '--seeds', `${withinSeeds}`, '--first-failure']
    const { failures } = await run(process.execPath, [program, '--bug', name, ...seeds, ...size])
    expect(failures).toHaveLength(1)
  })
})
