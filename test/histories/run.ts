/**
 * Checks histories of a datacenter of real processes under faults: `node test/histories/run.ts --minutes 10 --store embedded|etcd
 * [--seed N] [--bug NAME]`. What fails is written to a file, and checked again by `--check FILE`. See docs/consistency.md.
 * Exits with 1 when anything was wrong, and with 2 when a key could not be judged.
 */
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type StoreKind, startDatacenter } from './datacenter.ts'
import { faultsFor } from './faults.ts'
import { loadHistory, saveHistory } from './history.ts'
import { type Finding, judge } from './judge.ts'
import { loadBug, withBug } from './planted.ts'
import { type Round, runRound } from './round.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    store: { type: 'string', default: 'embedded' },
    seed: { type: 'string' },
    'round-seconds': { type: 'string', default: '25' },
    bug: { type: 'string' },
    check: { type: 'string' },
    /** Where failing histories go. */
    out: { type: 'string', default: '.atoll/histories' },
    'no-faults': { type: 'boolean', default: false },
  },
})

const root = fileURLToPath(new URL('../../', import.meta.url))
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
process.exitCode = values.check === undefined ? await main() : checkAgain(values.check)

function checkAgain(path: string): number {
  const { findings, gaveUp, steps } = judge(loadHistory(path))
  print(findings)
  console.log(`${findings.length} findings, ${gaveUp.length} keys not judged, ${steps} steps`)
  return findings.length > 0 ? 1 : gaveUp.length > 0 ? 2 : 0
}

async function main(): Promise<number> {
  const { store } = values
  if (store !== 'embedded' && store !== 'etcd') throw new Error(`--store: embedded or etcd, not ${store}`)
  if (values.bug === undefined) return run(store, root)
  const bug = await loadBug(values.bug)
  return withBug(bug, (sources) => run(bug.store, sources, bug.faults))
}

async function run(store: StoreKind, sources: string, only?: readonly string[]): Promise<number> {
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000))
  console.log(`store ${store}, seed ${seed}${values.bug === undefined ? '' : `, planted: ${values.bug}`}`)
  const faults = values['no-faults'] ? [] : faultsFor(store).filter(({ name }) => only?.includes(name) ?? true)
  const datacenter = await startDatacenter(store, sources)
  const untilMs = performance.now() + Number(values.minutes) * 60_000
  const total = { rounds: 0, operations: 0, findings: 0, gaveUp: 0, disturbed: 0, changes: 0 }
  try {
    while (performance.now() < untilMs) {
      const ms = Number(values['round-seconds']) * 1000
      const round = await runRound({ datacenter, seed: seed + total.rounds, ms, faults })
      report(round)
      total.rounds++
      total.operations += round.kvOverlap.operations + round.lockOverlap.operations
      total.findings += round.findings.length
      total.gaveUp += round.gaveUp.length
      total.disturbed += round.disturbed.length
      total.changes += round.changes
      if (round.findings.length + round.gaveUp.length > 0) save(round, store)
      if (round.findings.length > 0 && values.bug !== undefined) break
    }
  } finally {
    await datacenter.end()
  }
  console.log(
    `\n${total.rounds} rounds, ${total.operations} operations, ${total.disturbed} faults, ${total.changes} changes told: ` +
      `${total.findings} findings, ${total.gaveUp} keys not judged`,
  )
  return total.findings > 0 ? 1 : total.gaveUp > 0 ? 2 : 0
}

function report({ seed, kvOverlap, lockOverlap, open, counts, changes, polls, resumes, steps, ...round }: Round): void {
  const overlap = ({ operations, share, mean }: Round['kvOverlap']): string =>
    `${operations} (${(100 * share).toFixed(0)} % overlap, ${mean.toFixed(1)} at a time)`
  console.log(
    `seed ${seed}: keys ${overlap(kvOverlap)}, locks ${overlap(lockOverlap)}, ${open} open, ${counts.failed} failed, ` +
      `${counts.stale} stale; ${changes} changes, ${polls} polls, ${resumes} resumed; ${steps} steps\n` +
      `  ${round.disturbed.join(', ')}`,
  )
  print(round.findings)
  for (const key of round.gaveUp) console.log(`  gave up on ${key}`)
}

function print(findings: readonly Finding[]): void {
  for (const { what, of, detail } of findings.slice(0, 10)) console.log(`  FOUND ${what}: ${of}: ${detail}`)
  if (findings.length > 10) console.log(`  and ${findings.length - 10} more`)
}

function save({ seed, history }: Round, store: StoreKind): void {
  const folder = resolve(values.out)
  mkdirSync(folder, { recursive: true })
  const path = join(folder, `${store}-${values.bug ?? 'seed'}-${seed}.jsonl`)
  saveHistory(path, history)
  console.log(`  written to ${path}; check it again with: node test/histories/run.ts --check ${path}`)
}
