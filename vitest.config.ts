import { join, relative, sep } from 'node:path'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const { bun, deno } = process.versions as Record<string, string | undefined>
const runtime = bun ? 'bun' : deno ? 'deno' : 'node'
const root = import.meta.dirname

// Workers and processes that tests start on Node load what earlier ones compiled: half of the start of each.
process.env.NODE_COMPILE_CACHE ??= join(root, '.atoll', 'compile-cache')

/** It waits more than it computes: the unit tests run beside it. */
const WAITING = ['test/replay/replay']
/** Then those that take longest, so that none is left over at the end; and then all others. */
const LONG = [
  'test/readme',
  'test/sim/sim',
  'test/histories/histories',
  'test/peers/programs',
  'src/federation/transport/processes',
  'topology/launcher',
  'test/store/etcd',
  'test/store/etcd-faults',
  'test/cluster/managed',
  'test/cluster/managed-mesh',
  'test/cluster/etcd-servers',
  'test/cluster/soak',
  'test/compliance/etcd',
]

function turnOf(file: string): number {
  const name = relative(root, file).split(sep).join('/').replace('.test.ts', '')
  const waiting = WAITING.indexOf(name)
  if (waiting !== -1) return waiting
  const long = LONG.indexOf(name)
  if (long !== -1) return 1000 + long
  return name.startsWith('src/') ? 500 : 2000
}

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return [...files].sort((a, b) => turnOf(a.moduleId) - turnOf(b.moduleId) || (a.moduleId < b.moduleId ? -1 : 1))
  }
}

/** They hold times to bounds: one by one, when all else is over. */
const timed = ['test/cluster/three-dc.test.ts', 'topology/wan.test.ts']

/** Their sockets, processes and memory are looked at: not beside what another file has left to be collected. */
const alone = [
  'src/federation/*.test.ts',
  'src/federation/transport/**/*.test.ts',
  'src/runtime/**/*.test.ts',
  'src/store/**/*.test.ts',
  'src/*.test.ts',
]

export default defineConfig({
  test: {
    projects: [
      // Plain unit tests leave nothing behind: a worker runs many files, and loads what they import once.
      { extends: true, test: { name: 'unit', include: ['src/**/*.test.ts'], exclude: alone, isolate: false } },
      {
        extends: true,
        test: { name: 'whole', include: ['test/**/*.test.ts', 'topology/**/*.test.ts', ...alone], exclude: timed },
      },
      { extends: true, test: { name: 'timed', include: timed, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
    sequence: { sequencer: LongestFirst },
    // For machines with much else to do: what waits, waits for a condition.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Half of what the tests do is waiting: three keep two cores busy, more make timings worse.
    maxWorkers: 3,
    pool: 'forks',
    // What one runtime's tests have transformed is there for the next.
    experimental: { fsModuleCache: true, fsModuleCachePath: join(root, '.atoll', 'transformed') },
    // .ci/run adds up what the three runtimes say.
    reporters: process.env.CI ? ['default', ['json', { outputFile: `.atoll/tests-${runtime}.json` }]] : ['default'],
  },
})
