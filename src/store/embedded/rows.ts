/** How rows of the database are packed for the way to the store, and unpacked there. */
import type { KeyValue, StoreEvent } from '../store.ts'
import type { Packer, Unpacker } from './packer.ts'

export interface Row {
  readonly k: Uint8Array
  readonly v: Uint8Array
  readonly c: number
  readonly m: number
  readonly n: number
  readonly l: number
}

export function packRow(packer: Packer, row: Row): void {
  packer.blob(row.k)
  packer.blob(row.v)
  packer.number(row.c)
  packer.number(row.m)
  packer.number(row.n)
  packer.number(row.l)
}

/** The value is a view of the message that it came in. */
export function unpackRow(unpacker: Unpacker): KeyValue {
  return {
    key: unpacker.text(),
    value: unpacker.blob(),
    createRevision: unpacker.number(),
    modRevision: unpacker.number(),
    version: unpacker.number(),
    lease: unpacker.number(),
  }
}

export interface Change {
  readonly rev: number
  readonly k: Uint8Array
  readonly v: Uint8Array | null
  readonly c: number
  /** 0 for a deletion. */
  readonly n: number
  readonly l: number
}

const NOTHING = new Uint8Array(0)

export const packChange = (packer: Packer, { rev, k, v, c, n, l }: Change): void =>
  packRow(packer, { k, v: v ?? NOTHING, c, m: rev, n, l })

export function unpackChange(unpacker: Unpacker): StoreEvent {
  const kv = unpackRow(unpacker)
  return kv.version === 0 ? { type: 'delete', key: kv.key, modRevision: kv.modRevision } : { type: 'put', kv }
}

/** No key is empty, and no UTF-8 holds the byte 255. */
const LOWEST = new Uint8Array([0])
const BEYOND = new Uint8Array([255])

/** Bounds of a range for SQL; an empty one stands for the beginning or the end. */
export const keyBounds = (from: Uint8Array, to: Uint8Array): [from: Uint8Array, to: Uint8Array] => [
  from.byteLength === 0 ? LOWEST : from,
  to.byteLength === 0 ? BEYOND : to,
]
