/**
 * Bugs that are planted to show that histories show them: one file each in `bugs/`, which says what it breaks. They are edits in a
 * copy of the sources, which the nodes then run.
 */
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { applyEdit, bugNamesIn, loadBugFrom, type SourceEdit } from '../support/planted-bugs.ts'
import type { StoreKind } from './datacenter.ts'

export interface Bug {
  readonly about: string
  /** On which it shows. */
  readonly store: StoreKind
  /** Files below `src`. */
  readonly edits: readonly SourceEdit[]
  /** Names of the faults under which it shows; all unless given. */
  readonly faults?: readonly string[]
}

const here = dirname(fileURLToPath(import.meta.url))
const root = resolve(here, '../..')

const bugs = join(here, 'bugs')
export const bugNames = (): string[] => bugNamesIn(bugs)
export const loadBug = (name: string): Promise<Bug> => loadBugFrom<Bug>(bugs, name)

/** Calls `use` with a folder of sources that have the bug. */
export async function withBug<T>(bug: Bug, use: (sources: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'atoll-planted-'))
  try {
    for (const part of ['src', 'package.json']) cpSync(join(root, part), join(folder, part), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    for (const edit of bug.edits) applyEdit(join(folder, 'src'), edit)
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
