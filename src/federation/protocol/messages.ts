/**
 * What servers tell each other by gossip and on tails: bodies, which a gateway signs (envelope.ts). Every body begins
 * with a tag, the protocol version, the sender's capabilities, its kind and the DC that it is about, so that a node too
 * old to understand a kind can still check the signature and pass it on.
 */
import {
  COORDINATE_DIMENSIONS,
  type Coordinate,
  coordinateFromNumbers,
  coordinateToNumbers,
} from '../../model/coordinate.ts'
import type { Epoch } from '../../model/epoch.ts'
import { assertDatacenter } from '../../model/names.ts'
import type { ExportedChange } from '../federation.ts'
import { decode, encode, type Plain, ProtocolError, Reader } from './codec.ts'
import { ANCHOR_BYTES } from './heartbeat.ts'
import {
  CAPABILITIES,
  DIGEST_BYTES,
  MAX_ADDRESS_LENGTH,
  MAX_ADDRESSES,
  MAX_CHANGES_PER_DELTA,
  MAX_ENVELOPE_BYTES,
  MAX_KEY_BYTES,
  MAX_NAME_LENGTH,
  MAX_SUSPECTS,
  MAX_VALUE_BYTES,
  PROTOCOL_VERSION,
} from './limits.ts'
import { MAX_REACH_BYTES } from './reach.ts'

/** A DC's position, as one of its gateways saw it at the end of a batch. */
export interface Head {
  readonly datacenter: string
  readonly datacenterId: string
  readonly epoch: Epoch
  /** Of the store, exported or not. */
  readonly revision: number
  /** Revision of the last exported change, or above it when not known: nothing exported changed after it. */
  readonly lastExported: number
  /** Over everything exported, at `revision`. */
  readonly digest: Uint8Array
  /** Of the gateway's process: later starts of one gateway have higher ones. */
  readonly boot: number
  /** Of the gateway's messages within one boot, rising. */
  readonly sequence: number
}

/** Where a gateway can be dialled; without a head, so that it can be told before the gateway may publish. */
export interface GatewayMessage {
  readonly type: 'gateway'
  readonly datacenter: string
  readonly datacenterId: string
  readonly boot: number
  readonly sequence: number
  /** Multiaddrs without the /p2p part. */
  readonly addresses: readonly string[]
}

export interface BeaconMessage {
  readonly type: 'beacon'
  readonly datacenter: string
  readonly datacenterId: string
  readonly head: Head
  readonly addresses: readonly string[]
  /** DCs that this gateway has not heard for too long; none from nodes that are too old to say. */
  readonly suspects: readonly string[]
  /** What its heartbeats lead to (heartbeat.ts); a gateway that names one understands heartbeats itself. */
  readonly anchor?: Uint8Array
  /** Gateways that this one is connected to directly (reach.ts); told when that changed, and now and then. */
  readonly reach?: Uint8Array
}

/** Everything exported that changed after `from`, up to the head. */
export interface DeltaMessage {
  readonly type: 'delta'
  readonly datacenter: string
  readonly datacenterId: string
  readonly head: Head
  readonly from: number
  readonly changes: readonly ExportedChange[]
}

/** The gateway goes for good. */
export interface LeaveMessage {
  readonly type: 'leave'
  readonly datacenter: string
  readonly datacenterId: string
  readonly boot: number
  readonly sequence: number
}

/** Where the gateway stands among those of all DCs (wan-coordinates.ts). Its stamp counts these messages alone. */
export interface PlaceMessage {
  readonly type: 'place'
  readonly datacenter: string
  readonly datacenterId: string
  readonly boot: number
  readonly sequence: number
  readonly coordinate: Coordinate
}

/** A later version's kind: signed and passed on, not understood. */
export interface UnknownMessage {
  readonly type: 'unknown'
  readonly datacenter: string
  readonly datacenterId: string
}

export type KnownMessage = GatewayMessage | BeaconMessage | DeltaMessage | LeaveMessage | PlaceMessage
export type Message = KnownMessage | UnknownMessage

/** Keeps a signature on a body from meaning anything elsewhere. */
const TAG = 'atoll/federation'
const KIND = { gateway: 1, beacon: 2, delta: 3, leave: 4, place: 5 } as const

export function encodeMessage(message: KnownMessage): Uint8Array {
  const start: Plain[] = [
    TAG,
    PROTOCOL_VERSION,
    CAPABILITIES,
    KIND[message.type],
    message.datacenter,
    message.datacenterId,
  ]
  switch (message.type) {
    case 'gateway':
      return encode([...start, message.boot, message.sequence, message.addresses])
    case 'beacon':
      return encode([
        ...start,
        headToPlain(message.head),
        message.addresses,
        message.suspects,
        ...(message.anchor || message.reach ? [message.anchor ?? null] : []),
        ...(message.reach ? [message.reach] : []),
      ])
    case 'delta':
      return encode([...start, headToPlain(message.head), message.from, message.changes.map(changeToPlain)])
    case 'leave':
      return encode([...start, message.boot, message.sequence])
    case 'place':
      return encode([...start, message.boot, message.sequence, coordinateToBytes(message.coordinate)])
  }
}

/** ProtocolError for everything that no honest peer sends. */
export function decodeMessage(body: Uint8Array): Message {
  const reader = new Reader(
    decode(body, { maxBytes: MAX_ENVELOPE_BYTES, maxItems: 64 + 5 * MAX_CHANGES_PER_DELTA }),
    'message',
  )
  if (reader.text('tag', TAG.length) !== TAG) throw new ProtocolError('message is none of the federation')
  if (reader.integer('version') < 1) throw new ProtocolError('message has no version')
  reader.integer('capabilities')
  const kind = reader.integer('kind')
  const datacenter = readDatacenter(reader)
  const datacenterId = reader.text('datacenterId', MAX_NAME_LENGTH)
  const about = { datacenter, datacenterId }
  switch (kind) {
    case KIND.gateway:
      return {
        type: 'gateway',
        ...about,
        boot: reader.integer('boot'),
        sequence: reader.integer('sequence'),
        addresses: readAddresses(reader),
      }
    case KIND.beacon:
      return readBeacon(reader, about)
    case KIND.delta:
      return readDelta(reader, about)
    case KIND.leave:
      return { type: 'leave', ...about, boot: reader.integer('boot'), sequence: reader.integer('sequence') }
    case KIND.place:
      return {
        type: 'place',
        ...about,
        boot: reader.integer('boot'),
        sequence: reader.integer('sequence'),
        coordinate: readCoordinate(reader),
      }
    default:
      return { type: 'unknown', ...about }
  }
}

/** The name ends up in file names, host names and URLs: only what a datacenter may be called. */
export function readDatacenter(reader: Reader): string {
  const datacenter = reader.text('datacenter', MAX_NAME_LENGTH)
  try {
    return assertDatacenter(datacenter)
  } catch (error) {
    throw new ProtocolError('message: its datacenter has no valid name', error)
  }
}

function readBeacon(reader: Reader, about: { datacenter: string; datacenterId: string }): BeaconMessage {
  const head = readHead(reader.sub('head'), about)
  const addresses = readAddresses(reader)
  const suspects = reader.ended ? [] : reader.list('suspects', MAX_SUSPECTS).map(readSuspect)
  const anchor = reader.ended ? null : reader.optionalBytes('anchor', ANCHOR_BYTES, ANCHOR_BYTES)
  const reach = reader.ended ? undefined : reader.bytes('reach', 0, MAX_REACH_BYTES)
  return { type: 'beacon', ...about, head, addresses, suspects, ...(anchor && { anchor }), ...(reach && { reach }) }
}

function readSuspect(name: Plain): string {
  if (typeof name !== 'string' || name.length > MAX_NAME_LENGTH)
    throw new ProtocolError('message: a suspect is no datacenter')
  return name
}

/** Eleven floats of 32 bits, big-endian: dimensions, error, adjustment, height. */
const COORDINATE_BYTES = 4 * (COORDINATE_DIMENSIONS + 3)

function coordinateToBytes(coordinate: Coordinate): Uint8Array {
  const view = new DataView(new ArrayBuffer(COORDINATE_BYTES))
  for (const [i, value] of coordinateToNumbers(coordinate).entries()) view.setFloat32(4 * i, value)
  return new Uint8Array(view.buffer)
}

/** Whether it makes sense is not judged here. */
function readCoordinate(reader: Reader): Coordinate {
  const bytes = reader.bytes('coordinate', COORDINATE_BYTES, COORDINATE_BYTES)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return coordinateFromNumbers(Array.from({ length: COORDINATE_BYTES / 4 }, (_, i) => view.getFloat32(4 * i)))!
}

function readDelta(reader: Reader, about: { datacenter: string; datacenterId: string }): DeltaMessage {
  const head = readHead(reader.sub('head'), about)
  const from = reader.integer('from')
  const changes = readChanges(reader, MAX_CHANGES_PER_DELTA)
  if (from >= head.revision) throw new ProtocolError('message: from must be below the head')
  assertOrdered(changes, from, head.lastExported)
  return { type: 'delta', ...about, head, from, changes }
}

/** Changes of a delta rise by revision, within (from, to]. */
export function assertOrdered(changes: readonly ExportedChange[], from: number, to: number): void {
  let last = from + 1
  for (const { modRevision } of changes) {
    if (modRevision < last || modRevision > to) throw new ProtocolError('message: changes are out of order')
    last = modRevision
  }
}

export function headToPlain(head: Head): Plain {
  return [
    head.epoch.generation,
    head.epoch.random,
    head.revision,
    head.lastExported,
    head.digest,
    head.boot,
    head.sequence,
  ]
}

export function readHead(reader: Reader, about: { datacenter: string; datacenterId: string }): Head {
  const epoch = readEpoch(reader)
  const revision = reader.integer('revision')
  const lastExported = reader.integer('lastExported')
  if (lastExported > revision) throw new ProtocolError('head: lastExported must not be above revision')
  return {
    datacenter: about.datacenter,
    datacenterId: about.datacenterId,
    epoch,
    revision,
    lastExported,
    digest: reader.bytes('digest', DIGEST_BYTES, DIGEST_BYTES),
    boot: reader.integer('boot'),
    sequence: reader.integer('sequence'),
  }
}

export function readEpoch(reader: Reader): Epoch {
  const generation = reader.integer('generation', 2 ** 32)
  return { generation, random: reader.text('random', 32) }
}

export const changeToPlain = (change: ExportedChange): Plain => [
  change.key,
  change.createRevision,
  change.modRevision,
  change.value,
]

export function readChanges(reader: Reader, max: number): ExportedChange[] {
  const list = reader.list('changes', max)
  return list.map((item) => {
    const change = new Reader(item, 'change')
    const key = change.text('key', MAX_KEY_BYTES)
    const createRevision = change.integer('createRevision')
    const modRevision = change.integer('modRevision')
    const value = change.optionalBytes('value', 0, MAX_VALUE_BYTES)
    if (value !== null && createRevision > modRevision)
      throw new ProtocolError('change: createRevision must not be above modRevision')
    return { key, value, createRevision: value === null ? 0 : createRevision, modRevision }
  })
}

export const readAddresses = (reader: Reader): string[] =>
  reader.list('addresses', MAX_ADDRESSES).map((address) => {
    if (typeof address !== 'string' || address.length > MAX_ADDRESS_LENGTH || !address.isWellFormed())
      throw new ProtocolError('message: an address is no multiaddr')
    return address
  })

/** About as many bytes as the change takes in a message. */
export const sizeOfChange = (change: ExportedChange): number => change.key.length + (change.value?.length ?? 0) + 24
