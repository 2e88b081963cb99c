/** How a TypeScript file is run on each runtime, with the binaries that the project brings. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { RuntimeName } from './schema.ts'

export const PROJECT_ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/[\\/]$/, '')

const binary = (name: RuntimeName): string => join(PROJECT_ROOT, 'node_modules', '.bin', name)

const ARGUMENTS: Record<RuntimeName, readonly string[]> = {
  // Type stripping and node:sqlite say that they are experimental, on every start, in every log.
  node: ['--disable-warning=ExperimentalWarning'],
  deno: ['run', '-A', '--quiet'],
  bun: ['run'],
}

/** Command line that runs `script` (relative to the project) with `args`. */
export function commandLine(runtime: RuntimeName, script: string, args: readonly string[] = []): readonly string[] {
  return [binary(runtime), ...ARGUMENTS[runtime], join(PROJECT_ROOT, script), ...args]
}

/** Node keeps what it compiled, which halves the start of the next node; the folder is this user's alone. */
export const childEnvironment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(PROJECT_ROOT, '.atoll', 'compile-cache'),
})
