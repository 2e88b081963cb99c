// Adds up the tests of the three runtimes to one closing line, and names the slowest files.
import { existsSync, readFileSync } from 'node:fs'

let passed = 0
let failed = 0
let skipped = 0
for (const runtime of ['node', 'deno', 'bun']) {
  const file = new URL(`../.atoll/tests-${runtime}.json`, import.meta.url)
  if (!existsSync(file)) {
    console.log(`${runtime}: no report, its tests did not run to the end`)
    continue
  }
  const report = JSON.parse(readFileSync(file, 'utf8'))
  passed += report.numPassedTests
  failed += report.numFailedTests
  skipped += report.numPendingTests + report.numTodoTests
  const slowest = report.testResults
    .map(({ name, startTime, endTime }) => ({
      name: name.replace(/^.*?\/(src|test|topology)\//, '$1/'),
      seconds: (endTime - startTime) / 1000,
    }))
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, 6)
  console.log(`${runtime}: slowest ${slowest.map(({ name, seconds }) => `${name} ${seconds.toFixed(1)} s`).join(', ')}`)
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
