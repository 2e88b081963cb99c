/** Edits in a copy of the sources, by which bugs are planted. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface SourceEdit {
  readonly file: string
  /** Must be there exactly once. */
  readonly find: string
  readonly replace: string
}

/** Throws when the source is not as the edit expects it. */
export function applyEdit(folder: string, { file, find, replace }: SourceEdit): void {
  const path = join(folder, file)
  const parts = readFileSync(path, 'utf8').split(find)
  if (parts.length !== 2)
    throw new Error(`bug: ${file} has "${find}" ${parts.length - 1} times; adapt the bug to the source as it is now`)
  writeFileSync(path, parts.join(replace))
}
