/**
 * What watches were told, against what was acknowledged, by guarantees with names. *ordered*: indexes never go back. *no duplicates*:
 * nothing is told twice. *complete*: every acknowledged write is there, every watch tells the same, and what it tells leads to what
 * there is in the end. *resumable*: a stream that is opened again goes on right after what was told last, at whichever node.
 * *true*: nothing is told that was refused, and every answer to a blocking query is a state that was, at its index.
 */
export type Guarantee = 'ordered' | 'no duplicates' | 'complete' | 'resumable' | 'true'

export interface Change {
  readonly key: string
  /** Null for a delete. */
  readonly value: string | null
  readonly index: number
  /** Of a put. */
  readonly createIndex: number
  /** Which connection of the stream told it, from 0. */
  readonly connection: number
}

export interface Row {
  readonly key: string
  readonly value: string
  readonly index: number
}

export interface Stream {
  readonly name: string
  readonly changes: readonly Change[]
  /** Why it is not whole. */
  readonly failure?: string
}

export interface Poll {
  readonly name: string
  readonly index: number
  readonly rows: readonly Row[]
}

export interface WatchRecord {
  /** Nothing was there at this index; watches began after it. */
  readonly since: number
  readonly acknowledged: readonly { readonly key: string; readonly value: string }[]
  readonly refused: readonly { readonly key: string; readonly value: string }[]
  readonly streams: readonly Stream[]
  /** In the order of each watcher's answers. */
  readonly polls: readonly Poll[]
  readonly final: readonly Row[]
}

export interface WatchFinding {
  readonly guarantee: Guarantee
  readonly watch: string
  readonly detail: string
}

export function judgeWatches(record: WatchRecord): WatchFinding[] {
  const findings = record.streams.flatMap((stream) => [
    ...judgeOrder(stream, record.since),
    ...judgeContent(stream, record),
  ])
  const [first] = record.streams
  if (!first) return findings
  for (const other of record.streams.slice(1)) {
    const at = first.changes.findIndex((change, i) => !isSame(change, other.changes[i]))
    const where = at < 0 && other.changes.length > first.changes.length ? first.changes.length : at
    if (where < 0) continue
    const detail = `tells ${text(other.changes[where])} where ${first.name} tells ${text(first.changes[where])}`
    findings.push({ guarantee: 'complete', watch: other.name, detail })
  }
  return [...findings, ...judgePolls(record, first)]
}

function judgeOrder({ name, changes }: Stream, since: number): WatchFinding[] {
  const findings: WatchFinding[] = []
  const seen = new Set<string>()
  let last = since
  let connection = 0
  for (const change of changes) {
    const id = `${change.index} ${change.key}`
    const resumed = change.connection !== connection
    if (change.index < last || (resumed && change.index === last)) {
      const detail = `${text(change)} after index ${last}`
      findings.push({ guarantee: resumed ? 'resumable' : 'ordered', watch: name, detail })
    } else if (seen.has(id)) findings.push({ guarantee: 'no duplicates', watch: name, detail: text(change) })
    seen.add(id)
    connection = change.connection
    last = Math.max(last, change.index)
  }
  return findings
}

function judgeContent({ name, changes, failure }: Stream, record: WatchRecord): WatchFinding[] {
  const findings: WatchFinding[] = []
  const found = (guarantee: Guarantee, detail: string): void => {
    findings.push({ guarantee, watch: name, detail })
  }
  if (failure !== undefined) found('complete', failure)
  const told = new Set(changes.map(({ key, value }) => `${key} ${value}`))
  for (const { key, value } of record.acknowledged) {
    if (!told.has(`${key} ${value}`)) found('complete', `${key} = ${value} was acknowledged and is not told`)
  }
  for (const { key, value } of record.refused) {
    if (told.has(`${key} ${value}`)) found('true', `${key} = ${value} was refused and is told`)
  }
  const state = new Map<string, Row>()
  for (const change of changes) {
    // A put that made the key says that by its create index: between it and what was told before, nothing may be missing.
    const isNew = change.value === null ? undefined : change.createIndex === change.index
    const expected = change.value === null ? state.has(change.key) : isNew !== state.has(change.key)
    if (!expected) found('complete', `something is missing before ${text(change)}`)
    apply(state, change)
  }
  const wrong = difference(state, record.final)
  if (wrong !== undefined) found('complete', `what it tells does not lead to what there is: ${wrong}`)
  return findings
}

function judgePolls({ polls }: WatchRecord, log: Stream): WatchFinding[] {
  const findings: WatchFinding[] = []
  const lastOf = new Map<string, number>()
  for (const { name, index } of polls) {
    const last = lastOf.get(name) ?? 0
    if (index < last) findings.push({ guarantee: 'ordered', watch: name, detail: `index ${index} after ${last}` })
    lastOf.set(name, Math.max(last, index))
  }
  const state = new Map<string, Row>()
  let next = 0
  for (const { name, index, rows } of [...polls].sort((a, b) => a.index - b.index)) {
    for (; next < log.changes.length && log.changes[next]!.index <= index; next++) apply(state, log.changes[next]!)
    const wrong = difference(state, rows)
    if (wrong === undefined) continue
    findings.push({ guarantee: 'true', watch: name, detail: `its answer at index ${index} was never so: ${wrong}` })
  }
  return findings
}

function apply(state: Map<string, Row>, { key, value, index }: Change): void {
  if (value === null) state.delete(key)
  else state.set(key, { key, value, index })
}

function difference(state: ReadonlyMap<string, Row>, rows: readonly Row[]): string | undefined {
  const wrong = rows.find(({ key, value, index }) => {
    const known = state.get(key)
    return known?.value !== value || known.index !== index
  })
  if (wrong) return `${text(wrong)} in place of ${text(state.get(wrong.key))}`
  if (rows.length === state.size) return undefined
  const there = new Set(rows.map(({ key }) => key))
  return `without ${text([...state.values()].find(({ key }) => !there.has(key)))}`
}

const isSame = (a: Change, b: Change | undefined): boolean =>
  b !== undefined && a.key === b.key && a.value === b.value && a.index === b.index

const text = (row: { key: string; value: string | null; index: number } | undefined): string =>
  row === undefined ? 'nothing' : `${row.key} = ${row.value} (${row.index})`
