/**
 * What two nodes tell each other when they meet, both ways in one call: where every DC stands that they know, and the
 * signed records of all gateways.
 */
import { ageFromWire, ageToWire } from '../../model/age.ts'
import type { Epoch } from '../../model/epoch.ts'
import { decode, encode, type Plain, ProtocolError, Reader } from './codec.ts'
import {
  CAPABILITIES,
  MAX_DATACENTERS,
  MAX_GATEWAYS_PER_DATACENTER,
  MAX_GOSSIP_BYTES,
  MAX_HELLO_BYTES,
  MAX_NAME_LENGTH,
  PROTOCOL_VERSION,
} from './limits.ts'
import { readDatacenter, readEpoch } from './messages.ts'

/** Where a node says that a DC stands. Hearsay: it guides where to ask; what is believed is signed. */
export interface Position {
  readonly datacenter: string
  readonly datacenterId: string
  readonly epoch: Epoch
  readonly revision: number
  readonly state: 'live' | 'lost' | 'quarantined'
  readonly ageMs: number
  /** From the one who tells; undefined while unmeasured. */
  readonly roundTripMs: number | undefined
}

export interface Hello {
  readonly capabilities: number
  readonly positions: readonly Position[]
  /** Envelopes: the newest beacon (or gateway message) of every gateway known. */
  readonly records: readonly Uint8Array[]
  /** The highest signed head of the listener's own DC that the teller has seen, so that a store which lost its end learns of it. */
  readonly proof: Uint8Array | null
}

const STATES = ['live', 'lost', 'quarantined'] as const
const MAX_RECORDS = 4096

/** Records beyond what fits are left out. */
export function encodeHello(hello: Omit<Hello, 'capabilities'>): Uint8Array {
  const records: Uint8Array[] = []
  let room = MAX_HELLO_BYTES - 256 * Math.min(hello.positions.length, MAX_DATACENTERS) - MAX_GOSSIP_BYTES - 1024
  for (const record of hello.records) {
    room -= record.length + 5
    if (room < 0 || records.length >= MAX_RECORDS) break
    records.push(record)
  }
  const positions = hello.positions
    .slice(0, MAX_DATACENTERS)
    .map(
      (position): Plain => [
        position.datacenter,
        position.datacenterId,
        position.epoch.generation,
        position.epoch.random,
        position.revision,
        STATES.indexOf(position.state),
        ageToWire(position.ageMs),
        position.roundTripMs ?? 0,
      ],
    )
  return encode([PROTOCOL_VERSION, CAPABILITIES, positions, records, hello.proof])
}

export function decodeHello(payload: unknown): Hello {
  if (!(payload instanceof Uint8Array)) throw new ProtocolError('hello is no message')
  const reader = new Reader(
    decode(payload, { maxBytes: MAX_HELLO_BYTES, maxItems: 64 + 9 * MAX_DATACENTERS + MAX_RECORDS }),
    'hello',
  )
  reader.integer('version')
  const capabilities = reader.integer('capabilities')
  const positions = reader.list('positions', MAX_DATACENTERS).map(readPosition)
  const records = reader
    .list('records', Math.min(MAX_RECORDS, MAX_DATACENTERS * MAX_GATEWAYS_PER_DATACENTER))
    .filter((record): record is Uint8Array => record instanceof Uint8Array)
  return { capabilities, positions, records, proof: reader.optionalBytes('proof', 1, MAX_GOSSIP_BYTES) }
}

function readPosition(item: Plain): Position {
  const reader = new Reader(item, 'position')
  const datacenter = readDatacenter(reader)
  const datacenterId = reader.text('datacenterId', MAX_NAME_LENGTH)
  const epoch = readEpoch(reader)
  const revision = reader.integer('revision')
  const state = STATES[reader.integer('state', STATES.length - 1)]!
  const ageMs = ageFromWire(reader.amount('ageMs'))
  const roundTripMs = reader.amount('roundTripMs')
  return { datacenter, datacenterId, epoch, revision, state, ageMs, roundTripMs: roundTripMs || undefined }
}
