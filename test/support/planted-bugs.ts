/** Planted bugs: a file each in a folder, with an export `bug`; and edits in a copy of the sources, by which most are planted. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

export const bugNamesIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.slice(0, -3))
    .sort()

/** Throws when `folder` has none of that name. */
export async function loadBugFrom<Bug>(folder: string, name: string): Promise<Bug> {
  const names = bugNamesIn(folder)
  if (!names.includes(name)) throw new Error(`--bug: there is no ${name}; there are ${names.join(', ')}`)
  const { bug } = (await import(pathToFileURL(join(folder, `${name}.ts`)).href)) as { bug: Bug }
  return bug
}

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
