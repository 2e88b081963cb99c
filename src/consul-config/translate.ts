/** Consul's configuration, from files and flags, as Atoll's. */
import { AtollError } from '../model/errors.ts'
import { type Interface, joinAddress, resolveAddress } from './addresses.ts'
import { isTree, type Tree } from './document.ts'
import { Draft, type FileDefinition } from './draft.ts'
import { FIELDS, takeFields } from './fields.ts'

export type { FileDefinition } from './draft.ts'

/** What one file, or the flags, say. */
export interface Source {
  /** The file's path, for messages. */
  readonly name: string
  readonly value: unknown
}

export interface Translated {
  /** In the shape of Atoll's configuration; holds what was said only. */
  readonly input: Tree
  readonly definitions: readonly FileDefinition[]
  /** One line for each thing that was left out. */
  readonly warnings: readonly string[]
}

/** Later sources win over earlier ones; lists add up. Throws AtollError 'invalid' that names file and field. */
export function translate(sources: readonly Source[], interfaces: () => readonly Interface[]): Translated {
  const draft = new Draft()
  for (const { name, value } of sources) {
    if (!isTree(value)) throw new AtollError('invalid', `${name}: expected an object, like {"server": true}`)
    takeFields(FIELDS, value, draft, name)
  }
  placeAddresses(draft, interfaces)
  placePorts(draft)
  placeJoin(draft)
  const { main, alternative } = draft.domains
  if (main !== undefined || alternative !== undefined) {
    draft.put('dns.domains', [main ?? 'consul', ...(alternative === undefined ? [] : [alternative])])
  }
  const { use, caFile } = draft.checkTls
  if (use && caFile) draft.put('checks.caFile', caFile)
  const { all, local } = draft.scripts
  if (all !== undefined || local !== undefined) draft.put('checks.scripts', all ? 'on' : local ? 'local' : 'off')
  const { input, definitions, warnings } = draft
  return { input, definitions, warnings }
}

function placeAddresses(draft: Draft, interfaces: () => readonly Interface[]): void {
  const { all, http, dns } = draft.clientAddresses
  const resolved = (text: string, field: string): string => resolveAddress(text, field, interfaces)
  if (http ?? all)
    draft.put('http.host', resolved((http ?? all)!, http === undefined ? 'client_addr' : 'addresses.http'))
  if (dns ?? all) draft.put('dns.host', resolved((dns ?? all)!, dns === undefined ? 'client_addr' : 'addresses.dns'))
  const federation = draft.input.federation as { host?: string; advertise?: string[] } | undefined
  if (federation?.host !== undefined) federation.host = resolved(federation.host, 'bind_addr')
  if (federation?.advertise !== undefined) {
    federation.advertise = federation.advertise.map((one) => resolved(one, 'advertise_addr'))
  }
  const tagged = (draft.input.taggedAddresses ?? {}) as Record<string, string>
  for (const [name, value] of Object.entries(tagged)) tagged[name] = resolved(value, `advertise_addr_${name}`)
}

/** Nodes join each other at the Serf port; Atoll has one port for all, so that is it. */
function placePorts(draft: Draft): void {
  const port = draft.ports.serfLan ?? draft.ports.server
  if (port !== undefined) draft.put('federation.port', port)
}

function placeJoin(draft: Draft): void {
  const own = (draft.input.federation as { port?: number } | undefined)?.port
  const seen = new Set<string>()
  for (const { text, source, field } of draft.join) {
    const address = joinAddress(text, own)
    if (address === undefined)
      draft.warn(source, field, `"${text}" has no effect: write addresses; there is no cloud auto-join`)
    else seen.add(address)
  }
  if (seen.size > 0) draft.append('federation.join', [...seen])
}
