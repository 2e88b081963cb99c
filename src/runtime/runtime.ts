import { AtollError } from '../model/errors.ts'
import type { Runtime } from './ports.ts'

/** The adapter of the runtime that this process runs on; only that one is loaded. */
export async function currentRuntime(): Promise<Runtime> {
  const { versions } = process
  if (versions.bun !== undefined) return (await import('./bun.ts')).bunRuntime
  if (versions.deno !== undefined) return (await import('./deno.ts')).denoRuntime
  if (versions.node !== undefined) return (await import('./node.ts')).nodeRuntime
  throw new AtollError('unsupported', 'Atoll runs on Node 22.18 or later, Deno and Bun; this is none of them')
}
