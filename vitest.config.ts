import { defineConfig } from 'vitest/config'

const { bun, deno } = process.versions as Record<string, string | undefined>
const runtime = bun ? 'bun' : deno ? 'deno' : 'node'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'topology/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Half of what the tests do is waiting: three keep two cores busy, more only make timings worse.
    maxWorkers: 3,
    pool: 'forks',
    // .ci/run adds up what the three runtimes say.
    reporters: process.env.CI ? ['default', ['json', { outputFile: `.atoll/tests-${runtime}.json` }]] : ['default'],
  },
})
