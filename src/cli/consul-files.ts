/** The files of Consul's configuration that a command line names, read and parsed, in the order in which they count. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parseHcl } from '../consul-config/hcl.ts'
import { type Io, UsageError } from './command.ts'
import { readInput } from './input.ts'

/** More than anybody has; each is read at every reload. */
const MAX_FILES = 10_000

/** Files as given; of a folder those that end in .json or .hcl, by name, not those of its folders. */
export async function readConsulFiles(
  paths: readonly string[],
  io: Io,
  format: string | undefined,
): Promise<{ name: string; value: unknown }[]> {
  const sources: { name: string; value: unknown }[] = []
  for (const path of paths) {
    for (const name of await filesOf(path)) {
      if (sources.length === MAX_FILES) throw new UsageError(`${path}: more than ${MAX_FILES} files`, 'agent')
      sources.push({ name, value: parsed(name, new TextDecoder().decode(await readInput(name, io)), format) })
    }
  }
  return sources
}

async function filesOf(path: string): Promise<string[]> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${path} cannot be read (${error.code ?? error.message})`, 'agent')
  })
  if (!found.isDirectory()) return [path]
  const names = (await readdir(path, { withFileTypes: true })).filter(
    (entry) => !entry.isDirectory() && /\.(?:json|hcl)$/.test(entry.name),
  )
  return names.map(({ name }) => join(path, name)).sort()
}

function parsed(name: string, text: string, format: string | undefined): unknown {
  if (text.trim() === '') return {}
  const hcl = name.endsWith('.hcl') || (format === 'hcl' && !name.endsWith('.json'))
  return hcl ? parsedHcl(name, text) : parsedJson(name, text)
}

/** HCL's users may write JSON too. */
export function parsedHcl(name: string, text: string): unknown {
  if (text.trimStart().startsWith('{')) return parsedJson(name, text)
  try {
    return parseHcl(text)
  } catch (error) {
    throw new UsageError(`${name}: ${(error as Error).message}`, 'agent')
  }
}

function parsedJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UsageError(`${name} is no JSON: ${(error as Error).message}`, 'agent')
  }
}
