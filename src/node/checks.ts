/** What a node's checks need of the rest of the node. */
import type { AliasedNode } from '../agent/checks/alias.ts'
import { AtollError, messageOf } from '../model/errors.ts'
import type { AnswerValue } from '../resolver/mesh.ts'
import type { Disk } from '../runtime/ports.ts'

/** PEM of the authorities that TLS checks trust; undefined for the machine's own. Rejects with AtollError 'invalid'. */
export async function readCheckAuthorities(disk: Disk, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  const bytes = await disk.read(path).catch((error: unknown) => {
    throw new AtollError('invalid', `checks.caFile: ${path} cannot be read: ${messageOf(error)}`, {
      field: 'checks.caFile',
    })
  })
  const pem = bytes && new TextDecoder().decode(bytes)
  if (pem?.includes('-----BEGIN CERTIFICATE-----')) return pem
  const what = bytes === undefined ? 'there is no such file' : 'it holds no certificate in PEM'
  throw new AtollError('invalid', `checks.caFile: ${path}: ${what}`, { field: 'checks.caFile' })
}

/** A node of the catalog as an alias of it sees it. */
export function aliasedNodeOf({ services, checks }: NonNullable<AnswerValue<'node'>>): AliasedNode {
  const ids = new Set(services.map(({ id }) => id.toLowerCase()))
  return { checks, hasService: (id) => ids.has(id.toLowerCase()) }
}
