/** Heads, deltas and beacons for table tests. */
import type { ExportedChange } from '../federation.ts'
import { Content, isEntry } from '../protocol/content.ts'
import type { BeaconMessage, DeltaMessage, Head } from '../protocol/messages.ts'

export const EPOCH = { generation: 0, random: '00000000000000aa' }

export const put = (key: string, value: string, modRevision: number, createRevision = modRevision): ExportedChange => ({
  key,
  value: new TextEncoder().encode(value),
  createRevision,
  modRevision,
})
export const del = (key: string, modRevision: number): ExportedChange => ({
  key,
  value: null,
  createRevision: 0,
  modRevision,
})

/** Digest of what is left after the changes. */
export function digestAfter(...changes: readonly ExportedChange[]): Uint8Array {
  const content = new Content()
  const last = new Map(changes.map((change) => [change.key, change]))
  for (const change of last.values()) if (isEntry(change)) content.put(change)
  return content.root()
}

export const head = (revision: number, digest: Uint8Array, rest: Partial<Head> = {}): Head => ({
  datacenter: 'eu-1',
  datacenterId: 'id-eu-1',
  epoch: EPOCH,
  revision,
  lastExported: revision,
  digest,
  boot: 1,
  sequence: revision,
  ...rest,
})

export const delta = (from: number, of: Head, changes: readonly ExportedChange[]): DeltaMessage => ({
  type: 'delta',
  datacenter: of.datacenter,
  datacenterId: of.datacenterId,
  head: of,
  from,
  changes,
})

export const beacon = (of: Head): BeaconMessage => ({
  type: 'beacon',
  datacenter: of.datacenter,
  datacenterId: of.datacenterId,
  head: of,
  addresses: ['/ip4/127.0.0.1/tcp/8300'],
  suspects: [],
})
