/** What has been said so far, file by file, in the shape of Atoll's own configuration. */
import type { Tree } from './document.ts'

/** A service or a check as a file defines it, in Consul's words; the node judges it. */
export interface FileDefinition {
  readonly kind: 'service' | 'check'
  /** The file, for messages. */
  readonly source: string
  readonly fields: Tree
}

export class Draft {
  readonly input: Record<string, unknown> = {}
  readonly definitions: FileDefinition[] = []
  readonly warnings: string[] = []
  /** What can be placed only once all was read. */
  readonly join: { readonly text: string; readonly source: string; readonly field: string }[] = []
  readonly ports: { serfLan?: number; server?: number } = {}
  readonly clientAddresses: { all?: string; http?: string; dns?: string } = {}
  readonly domains: { main?: string; alternative?: string } = {}
  /** The CA counts for checks where the files say so. */
  readonly checkTls: { use?: boolean; caFile?: string } = {}
  readonly scripts: { all?: boolean; local?: boolean } = {}

  /** The last one wins. */
  put(path: string, value: unknown): void {
    const keys = path.split('.')
    const last = keys.pop()!
    this.#inside(keys)[last] = value
  }

  /** Lists of several files add up. */
  append(path: string, values: readonly unknown[]): void {
    const keys = path.split('.')
    const last = keys.pop()!
    const inside = this.#inside(keys)
    inside[last] = [...((inside[last] as unknown[] | undefined) ?? []), ...values]
  }

  /** Maps of several files are joined, key by key. */
  merge(path: string, values: Tree): void {
    Object.assign(this.#inside(path.split('.')), values)
  }

  warn(source: string, field: string, why: string): void {
    const line = `${source}: ${field}: ${why}`
    if (!this.warnings.includes(line)) this.warnings.push(line)
  }

  #inside(keys: readonly string[]): Record<string, unknown> {
    return keys.reduce((at, key) => {
      at[key] ??= {}
      return at[key] as Record<string, unknown>
    }, this.input)
  }
}
