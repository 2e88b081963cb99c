/**
 * Bugs that are planted to show that the simulation finds them: one file each in `bugs/`, which says what it breaks. A bug
 * replaces methods of the state machines, or pieces of their source.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { applyEdit, bugNamesIn, loadBugFrom, type SourceEdit } from '../support/planted-bugs.ts'
import type { Machines } from './machines.ts'

export interface Bug {
  readonly about: string
  /** It must be found within so many seeds, from `fromSeed` (default: 1) on, of `mesh` (default: 4 DCs of 2 gateways). */
  readonly withinSeeds: number
  /** For a rare one: a little before the first seed that shows it. */
  readonly fromSeed?: number
  readonly mesh?: { readonly datacenters: number; readonly gateways: number }
  /** Replaces methods of the prototypes; before anything runs. */
  readonly patch?: (machines: Machines) => void
  /** Pieces of `src/federation/protocol/<file>`, each of which must occur exactly once. */
  readonly edits?: readonly SourceEdit[]
}

export const MESH = { datacenters: 4, gateways: 2 }

const here = dirname(fileURLToPath(import.meta.url))
const root = resolve(here, '../..')

const bugs = join(here, 'bugs')
export const bugNames = (): string[] => bugNamesIn(bugs)
export const loadBug = (name: string): Promise<Bug> => loadBugFrom<Bug>(bugs, name)

/** Runs `test/sim/run.ts` with `args` in a copy of the sources that has the edits. Returns its exit code. */
export function runEdited(edits: NonNullable<Bug['edits']>, args: readonly string[]): number {
  const folder = mkdtempSync(join(tmpdir(), 'atoll-sim-'))
  try {
    for (const part of [
      'src/federation',
      'src/model',
      'src/runtime',
      'test/sim',
      'test/support/planted-bugs.ts',
      'package.json',
    ])
      cpSync(join(root, part), join(folder, part), { recursive: true })
    mkdirSync(join(folder, 'src/federation/protocol'), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    for (const edit of edits) applyEdit(join(folder, 'src/federation/protocol'), edit)
    const ran = spawnSync(process.execPath, [...process.execArgv, join(folder, 'test/sim/run.ts'), ...args], {
      stdio: 'inherit',
    })
    return ran.status ?? 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
