/**
 * Registrations as nodes send them to each other: each node once, and rows without the names of their fields, so that an answer
 * takes in three times as many.
 */
import type { Registration } from '../catalog/view.ts'
import type { NodeRow, ServiceRow } from '../model/entries.ts'

interface Table {
  readonly fields: readonly string[]
  readonly rows: readonly (readonly unknown[])[]
}

export interface PackedRegistrations {
  readonly nodes: Table
  readonly services: Table
  /** Which node each service is on. */
  readonly on: readonly number[]
}

/** A list is the same one for as long as nothing changed. */
const packedOf = new WeakMap<readonly Registration[], PackedRegistrations>()

export function packRegistrations(list: readonly Registration[]): PackedRegistrations {
  const packed = packedOf.get(list) ?? pack(list)
  packedOf.set(list, packed)
  return packed
}

function pack(list: readonly Registration[]): PackedRegistrations {
  const places = new Map<NodeRow, number>()
  const on = list.map(({ node }) => {
    const place = places.get(node) ?? places.size
    places.set(node, place)
    return place
  })
  return { nodes: tableOf([...places.keys()]), services: tableOf(list.map(({ service }) => service)), on }
}

/** undefined when they are none. */
export function unpackRegistrations(packed: unknown): Registration[] | undefined {
  const { nodes, services, on } = (packed ?? {}) as Partial<PackedRegistrations>
  const [nodeRows, serviceRows] = [rowsOf<NodeRow>(nodes), rowsOf<ServiceRow>(services)]
  if (nodeRows === undefined || serviceRows === undefined || !Array.isArray(on)) return undefined
  const list = serviceRows.flatMap((service, i): Registration[] => {
    const node = nodeRows[on[i] as number]
    return node === undefined ? [] : [{ node, service }]
  })
  return list.length === serviceRows.length && on.length === list.length ? list : undefined
}

/** With the fields that any of them has. */
function tableOf(rows: readonly object[]): Table {
  const fields = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  return { fields, rows: rows.map((row) => fields.map((field) => (row as Record<string, unknown>)[field])) }
}

/** Fields of rows there can be: those of a newer version among them. */
const MAX_FIELDS = 64

function rowsOf<T>(table: Table | undefined): T[] | undefined {
  if (!Array.isArray(table?.fields) || !Array.isArray(table.rows) || table.fields.length > MAX_FIELDS) return undefined
  const { fields, rows } = table
  if (!fields.every((field) => typeof field === 'string')) return undefined
  if (!rows.every((row) => Array.isArray(row) && row.length === fields.length)) return undefined
  return rows.map((row) => Object.fromEntries(fields.map((field, i) => [field, row[i]])) as T)
}
