/**
 * The layout of a DC's keys in its store. All that other DCs may see lies under one prefix, so that what is published
 * is a pure function of the store: the events of one range.
 *
 *   e/n/<node>              NodeEntry
 *   e/s/<node>/<id>         ServiceEntry
 *   e/c/<node>/<check>      CheckEntry without notes and output
 *   e/i/<service>           raised when an instance (or a check of one) is deleted: the service's index outlives it
 *   e/t/<table>             raised when an entry of `nodes`, `services` or `checks` is deleted
 *   e/d/<node>              names of services that lost something on the node in a deletion too large for a key each
 *   e/f/<service>           FailoverRecord
 *   o/<node>/<check>        a check's notes and output: never leave the DC, and change often
 *   k/<key>                 KvEntry; the key verbatim
 *   q/<prefix>              the last number of sequential keys under it
 *   t/kv                    raised when a KV key is deleted
 *   x/<node>/<segment>      Coordinate
 *   l/<node id>             bound to a lease: the node is alive
 *   r/<request id>          outcome of a forwarded write
 *   u/s/<session>           SessionEntry
 *   u/h/<session>           raised when the session acquires a key, so that its end knows of all of them
 *   u/r/<session>           bound to a lease: the session was renewed
 *   u/d/<key>               the lock-delay of a KV key: nobody acquires it until the leader removes this
 *   t/sessions              raised when a session is deleted
 *   p/i/<id>                PreparedQueryEntry
 *   p/n/<name>              a prepared query has this name
 *   t/queries               raised when a prepared query is deleted
 *   v/<slot>                EventEntry, in a ring of 256
 *   a/...                   reserved: ACLs
 *   sys/...                 the store's own: head, leader, ages (what the leader knows of the past), restoring, storage version
 *
 * Names match in any case, so keys hold them in lower case; entries keep the spelling.
 */
export type Table = 'nodes' | 'services' | 'checks'

/** A name as a part of a key, which ends before the next '/': the same for names that differ only in case. */
export function keyPart(name: string): string {
  const lower = name.toLowerCase()
  return lower.includes('%') || lower.includes('/') ? lower.replaceAll('%', '%25').replaceAll('/', '%2f') : lower
}
const part = keyPart

export const keys = {
  exported: 'e/',
  node: (node: string): string => `e/n/${part(node)}`,
  service: (node: string, id: string): string => `e/s/${part(node)}/${part(id)}`,
  servicesOf: (node: string): string => `e/s/${part(node)}/`,
  check: (node: string, checkId: string): string => `e/c/${part(node)}/${part(checkId)}`,
  checksOf: (node: string): string => `e/c/${part(node)}/`,
  serviceIndex: (service: string): string => `e/i/${part(service)}`,
  tableIndex: (table: Table): string => `e/t/${table}`,
  bulkDeletion: (node: string): string => `e/d/${part(node)}`,
  failover: (service: string): string => `e/f/${part(service)}`,
  output: (node: string, checkId: string): string => `o/${part(node)}/${part(checkId)}`,
  outputsOf: (node: string): string => `o/${part(node)}/`,
  coordinate: (node: string, segment: string): string => `x/${part(node)}/${part(segment)}`,
  coordinatesOf: (node: string): string => `x/${part(node)}/`,
  kv: (key: string): string => `k/${key}`,
  kvIndex: 't/kv',
  session: (id: string): string => `u/s/${id}`,
  sessionLease: (id: string): string => `u/r/${id}`,
  sessionHold: (id: string): string => `u/h/${id}`,
  lockDelay: (key: string): string => `u/d/${key}`,
  sequence: (prefix: string): string => `q/${prefix}`,
  event: (slot: string): string => `v/${slot}`,
  sessionIndex: 't/sessions',
  query: (id: string): string => `p/i/${id}`,
  queryName: (name: string): string => `p/n/${part(name)}`,
  queryIndex: 't/queries',
  lease: (nodeId: string): string => `l/${part(nodeId)}`,
  request: (requestId: string): string => `r/${part(requestId)}`,
  leader: 'sys/leader',
  ages: 'sys/ages',
  /** A snapshot is being restored: nobody writes. */
  restoring: 'sys/restoring',
} as const

/** The first key after all that begin with `prefix`: ranges are half open, [prefix, end). '' is the end of everything. */
export function prefixEnd(prefix: string): string {
  for (let i = prefix.length; i > 0; i--) {
    const code = prefix.codePointAt(i - 1)!
    // A low surrogate belongs to the code point before it.
    if (code >= 0xdc00 && code <= 0xdfff) continue
    if (code === 0x10ffff) continue
    const next = code === 0xd7ff ? 0xe000 : code + 1
    return prefix.slice(0, i - 1) + String.fromCodePoint(next)
  }
  return ''
}

/** Order of the UTF-8 bytes, which is the order of code points (JavaScript's `<` differs beyond U+FFFF). */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    let x = a.charCodeAt(i)
    let y = b.charCodeAt(i)
    if (x === y) continue
    // Surrogates sort above the rest of the BMP.
    if (x >= 0xd800 && y >= 0xd800) {
      x = x >= 0xe000 ? x - 0x800 : x + 0x2000
      y = y >= 0xe000 ? y - 0x800 : y + 0x2000
    }
    return x - y
  }
  return a.length - b.length
}
