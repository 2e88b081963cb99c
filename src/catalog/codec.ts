/**
 * What the values in the store are: msgpack arrays that begin with the version of their format. Fields are only ever
 * appended, so that a reader ignores those that are newer than it, and gives those that are missing their default.
 */
import { Packr } from 'msgpackr'
import type { Coordinate, CoordinateRow } from '../model/coordinate.ts'
import type {
  CheckEntry,
  CheckRow,
  KvEntry,
  KvRow,
  Locality,
  NodeEntry,
  NodeRow,
  Owner,
  ServiceAddress,
  ServiceEntry,
  ServiceRow,
  Status,
} from '../model/entries.ts'
import type { EventEntry, EventRow } from '../model/event.ts'
import { STATUSES, statusRank } from '../model/health.ts'
import { packCopy } from '../model/packing.ts'
import type { PreparedQueryEntry, PreparedQueryRow } from '../model/prepared-query.ts'
import type { SessionEntry, SessionRow } from '../model/session.ts'
import type { TxnAnswer } from './txn.ts'

const FORMAT = 1

const packr = new Packr({ useRecords: false, mapsAsObjects: true, variableMapSize: true })

const pack = (...fields: unknown[]): Uint8Array => packCopy(packr, [FORMAT, ...fields])

class Malformed extends Error {}

function unpack(bytes: Uint8Array): unknown[] {
  const fields: unknown = packr.unpack(bytes)
  if (!Array.isArray(fields) || typeof fields[0] !== 'number')
    throw new Malformed('no array that begins with a version')
  return fields
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '')

/** Names that many entries share are kept once, as long as they are not too many. */
const shared = new Map<string, string>()
const MAX_SHARED = 8192
function name(value: unknown): string {
  if (typeof value !== 'string' || value === '') return ''
  const known = shared.get(value)
  if (known !== undefined) return known
  if (shared.size >= MAX_SHARED) shared.clear()
  shared.set(value, value)
  return value
}

const number = (value: unknown): number =>
  typeof value === 'number' ? value : typeof value === 'bigint' ? Number(value) : 0
const flag = (value: unknown): boolean => value === true
const list = (value: unknown): readonly string[] => (Array.isArray(value) && value.length > 0 ? value.map(name) : NONE)
const NONE: readonly string[] = Object.freeze([])
const object = <T>(value: unknown): Readonly<Record<string, T>> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, T>) : null
const owner = (value: unknown): Owner => (value === 1 ? 'agent' : 'catalog')
const ownerCode = (value: Owner): number => (value === 'agent' ? 1 : 0)
const status = (value: unknown): Status => STATUSES[number(value)] ?? 'critical'

/** With the keys in order, so that equal maps have equal bytes and every reader lists them alike. */
function sorted<T>(map: Readonly<Record<string, T>> | null): Readonly<Record<string, T>> | null {
  if (map === null) return null
  const result: Record<string, T> = {}
  for (const key of Object.keys(map).sort()) result[key] = map[key]!
  return result
}

/** The part of a view over a much larger buffer is copied, so that keeping it does not keep the buffer. */
function own(bytes: unknown): Uint8Array {
  if (!(bytes instanceof Uint8Array) || bytes.length === 0) return EMPTY
  if (bytes.buffer.byteLength <= 2 * bytes.byteLength + 64) {
    return new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
  }
  return new Uint8Array(bytes)
}
const EMPTY = new Uint8Array(0)

const packedLocality = (where: Locality | undefined): readonly string[] | null =>
  where === undefined ? null : [where.region, where.zone]
const locality = (value: unknown): { locality?: Locality } =>
  Array.isArray(value) ? { locality: { region: name(value[0]), zone: name(value[1]) } } : {}

/** Fields of later versions: what none of them says is left out, so that entries without keep their bytes and digests. */
function atEnd(...fields: readonly unknown[]): readonly unknown[] {
  let length = fields.length
  while (length > 0 && fields[length - 1] === null) length--
  return fields.slice(0, length)
}

export const encodeNode = (entry: NodeEntry): Uint8Array =>
  pack(
    entry.id,
    entry.node,
    entry.address,
    sorted(entry.taggedAddresses),
    sorted(entry.meta),
    ownerCode(entry.owner),
    ...atEnd(packedLocality(entry.locality)),
  )

export function decodeNode(bytes: Uint8Array, createIndex: number, modifyIndex: number): NodeRow {
  const f = unpack(bytes)
  return {
    id: text(f[1]),
    node: text(f[2]),
    address: text(f[3]),
    taggedAddresses: object<string>(f[4]),
    meta: object<string>(f[5]),
    ...locality(f[7]),
    owner: owner(f[6]),
    createIndex,
    modifyIndex,
  }
}

export const encodeService = (entry: ServiceEntry): Uint8Array =>
  pack(
    entry.node,
    entry.id,
    entry.service,
    entry.kind,
    entry.tags,
    entry.address,
    sorted(entry.taggedAddresses),
    sorted(entry.meta),
    entry.port,
    entry.socketPath,
    [entry.weights.passing, entry.weights.warning],
    entry.enableTagOverride,
    entry.proxy,
    entry.connect,
    entry.failover ?? null,
    ownerCode(entry.owner),
    ...atEnd(packedLocality(entry.locality), entry.load ?? null),
  )

export function decodeService(bytes: Uint8Array, createIndex: number, modifyIndex: number): ServiceRow {
  const f = unpack(bytes)
  const weights = Array.isArray(f[11]) ? f[11] : [1, 1]
  return {
    node: name(f[1]),
    id: text(f[2]),
    service: name(f[3]),
    kind: name(f[4]),
    tags: list(f[5]),
    address: text(f[6]),
    taggedAddresses: object<ServiceAddress>(f[7]),
    meta: object<string>(f[8]),
    port: number(f[9]),
    socketPath: text(f[10]),
    weights: { passing: number(weights[0]), warning: number(weights[1]) },
    enableTagOverride: flag(f[12]),
    proxy: object<unknown>(f[13]),
    connect: object<unknown>(f[14]),
    ...(typeof f[15] === 'boolean' ? { failover: f[15] } : {}),
    ...locality(f[17]),
    ...(typeof f[18] === 'number' ? { load: f[18] } : {}),
    owner: owner(f[16]),
    createIndex,
    modifyIndex,
  }
}

/** Without notes and output: these are a value of their own, which stays in the DC. */
export const encodeCheck = (entry: CheckEntry): Uint8Array =>
  pack(
    entry.node,
    entry.checkId,
    entry.name,
    statusRank(entry.status),
    entry.serviceId,
    entry.serviceName,
    entry.serviceTags,
    entry.type,
    entry.interval,
    entry.timeout,
    entry.exposedPort,
    entry.definition,
    ownerCode(entry.owner),
  )

const NO_DEFINITION = Object.freeze({})

/** With notes and output empty. */
export function decodeCheck(bytes: Uint8Array, createIndex: number, modifyIndex: number): CheckRow {
  const f = unpack(bytes)
  const definition = object<unknown>(f[12])
  return {
    node: name(f[1]),
    checkId: name(f[2]),
    name: name(f[3]),
    status: status(f[4]),
    notes: '',
    output: '',
    serviceId: text(f[5]),
    serviceName: name(f[6]),
    serviceTags: list(f[7]),
    type: name(f[8]),
    interval: name(f[9]),
    timeout: name(f[10]),
    exposedPort: number(f[11]),
    definition: definition && Object.keys(definition).length > 0 ? definition : NO_DEFINITION,
    owner: owner(f[13]),
    createIndex,
    modifyIndex,
  }
}

export interface CheckOutput {
  readonly notes: string
  readonly output: string
}

export const encodeOutput = (output: CheckOutput): Uint8Array => pack(output.notes, output.output)

export function decodeOutput(bytes: Uint8Array): CheckOutput {
  const f = unpack(bytes)
  return { notes: text(f[1]), output: text(f[2]) }
}

export const MAX_FLAGS = 2n ** 64n - 1n

export const encodeKv = (entry: Omit<KvEntry, 'key'>): Uint8Array =>
  pack(
    entry.flags <= 0xffffffffn ? Number(entry.flags) : entry.flags,
    entry.lockIndex,
    entry.session,
    entry.value.length === 0 ? EMPTY : entry.value,
  )

const flagsOf = (value: unknown): bigint =>
  value === 0 ? 0n : typeof value === 'bigint' ? value : Number.isSafeInteger(value) ? BigInt(value as number) : 0n

export function decodeKv(key: string, bytes: Uint8Array, createIndex: number, modifyIndex: number): KvRow {
  const f = unpack(bytes)
  return {
    key,
    value: own(f[4]),
    flags: flagsOf(f[1]),
    lockIndex: number(f[2]),
    session: text(f[3]),
    createIndex,
    modifyIndex,
  }
}

export const encodeSession = (entry: SessionEntry): Uint8Array =>
  pack(
    entry.name,
    entry.node,
    entry.lockDelayMs,
    entry.behavior === 'delete' ? 1 : 0,
    entry.ttl,
    entry.ttlMs,
    entry.nodeChecks,
    entry.serviceChecks,
    entry.checks,
    entry.ending,
  )

export function decodeSession(id: string, bytes: Uint8Array, createIndex: number, modifyIndex: number): SessionRow {
  const f = unpack(bytes)
  return {
    id,
    name: text(f[1]),
    node: name(f[2]),
    lockDelayMs: number(f[3]),
    behavior: f[4] === 1 ? 'delete' : 'release',
    ttl: name(f[5]),
    ttlMs: number(f[6]),
    nodeChecks: list(f[7]),
    serviceChecks: Array.isArray(f[8]) ? list(f[8]) : null,
    checks: Array.isArray(f[9]) ? list(f[9]) : null,
    ending: flag(f[10]),
    createIndex,
    modifyIndex,
  }
}

export const encodePreparedQuery = ({ service, template, ...query }: PreparedQueryEntry): Uint8Array =>
  pack(
    query.name,
    query.session,
    query.token,
    [template.type === 'name_prefix_match' ? 1 : 0, template.regexp, template.removeEmptyTags],
    [
      service.service,
      service.failover.nearestN,
      service.failover.datacenters,
      service.failover.targets,
      service.onlyPassing,
      service.ignoreCheckIds,
      service.near,
      service.tags,
      sorted(service.nodeMeta),
      sorted(service.serviceMeta),
      service.connect,
      ...(service.sort === 'load' ? [1] : []),
    ],
    query.dnsTtl,
  )

const listOrNull = (value: unknown): readonly string[] | null => (Array.isArray(value) ? value.map(text) : null)

export function decodePreparedQuery(
  id: string,
  bytes: Uint8Array,
  createIndex: number,
  modifyIndex: number,
): PreparedQueryRow {
  const f = unpack(bytes)
  const t = Array.isArray(f[4]) ? f[4] : []
  const s = Array.isArray(f[5]) ? f[5] : []
  return {
    id,
    name: text(f[1]),
    session: text(f[2]),
    token: text(f[3]),
    template: { type: t[0] === 1 ? 'name_prefix_match' : '', regexp: text(t[1]), removeEmptyTags: flag(t[2]) },
    service: {
      service: text(s[0]),
      failover: { nearestN: number(s[1]), datacenters: listOrNull(s[2]), targets: listOrNull(s[3]) },
      onlyPassing: flag(s[4]),
      ignoreCheckIds: listOrNull(s[5]),
      near: text(s[6]),
      tags: listOrNull(s[7]),
      nodeMeta: object<string>(s[8]),
      serviceMeta: object<string>(s[9]),
      connect: flag(s[10]),
      ...(s[11] === 1 ? { sort: 'load' } : {}),
    },
    dnsTtl: text(f[6]),
    createIndex,
    modifyIndex,
  }
}

export const encodeEvent = (event: EventEntry): Uint8Array =>
  pack(event.id, event.name, event.payload, event.nodeFilter, event.serviceFilter, event.tagFilter, event.time)

export function decodeEvent(bytes: Uint8Array, createIndex: number, modifyIndex: number): EventRow {
  const f = unpack(bytes)
  return {
    id: text(f[1]),
    name: text(f[2]),
    payload: own(f[3]),
    nodeFilter: text(f[4]),
    serviceFilter: text(f[5]),
    tagFilter: text(f[6]),
    time: number(f[7]),
    createIndex,
    modifyIndex,
  }
}

export const encodeSequence = (last: number): Uint8Array => pack(last)
export const decodeSequence = (bytes: Uint8Array): number => number(unpack(bytes)[1])

/** How long nobody may acquire the key, in ms. */
export const encodeLockDelay = (delayMs: number): Uint8Array => pack(delayMs)
export const decodeLockDelay = (bytes: Uint8Array): number => number(unpack(bytes)[1])

export const encodeCoordinate = (row: CoordinateRow): Uint8Array => {
  const { vec, error, adjustment, height } = row.coordinate
  return pack(row.node, row.segment, vec, error, adjustment, height)
}

export function decodeCoordinate(bytes: Uint8Array): CoordinateRow {
  const f = unpack(bytes)
  const vec = Array.isArray(f[3]) ? f[3].map(number) : []
  const coordinate: Coordinate = { vec, error: number(f[4]), adjustment: number(f[5]), height: number(f[6]) }
  return { node: text(f[1]), segment: text(f[2]), coordinate }
}

/** The service's name as it was spelled. */
export const encodeFailover = (service: string): Uint8Array => pack(service)
export const decodeFailover = (bytes: Uint8Array): string => text(unpack(bytes)[1])

/** Value of keys whose revision is all that they say. */
export const MARK = pack()

/** Names of services, as parts of keys, each with the revision of its loss; 0 for the revision of this record. */
export type BulkDeletion = readonly (readonly [service: string, revision: number])[]
export const encodeBulkDeletion = (lost: BulkDeletion): Uint8Array => pack(lost)
export function decodeBulkDeletion(bytes: Uint8Array): BulkDeletion {
  const lost = unpack(bytes)[1]
  if (!Array.isArray(lost)) return []
  return lost.filter(Array.isArray).map((pair): [string, number] => [text(pair[0]), number(pair[1])])
}

export interface NodeLease {
  readonly node: string
  readonly bootId: string
  /** Id of the server that hears the node; '' where that does not say. */
  readonly server: string
}
export const encodeNodeLease = (lease: NodeLease): Uint8Array => pack(lease.node, lease.bootId, lease.server)
export function decodeNodeLease(bytes: Uint8Array): NodeLease {
  const f = unpack(bytes)
  return { node: text(f[1]), bootId: text(f[2]), server: text(f[3]) }
}

export interface LeaderRecord {
  readonly serverId: string
  /** Where others reach it, as the API shows it (host:port). */
  readonly address: string
  /** Tells apart two lives of one server. */
  readonly bootId: string
}
export const encodeLeader = (leader: LeaderRecord): Uint8Array => pack(leader.serverId, leader.address, leader.bootId)
export function decodeLeader(bytes: Uint8Array): LeaderRecord {
  const f = unpack(bytes)
  return { serverId: text(f[1]), address: text(f[2]), bootId: text(f[3]) }
}

/** Answers of transactions that are kept with their outcome, each; what is larger is not. */
export const MAX_KEPT_ANSWER_BYTES = 64 * 1024

/** Outcome of a command that came with a request id. `answer`: of a transaction, as far as it is known before it is written. */
export function encodeOutcome(applied: boolean, key = '', answer?: TxnAnswer): Uint8Array {
  const packed = answer && pack(answer.entries, answer.errors)
  return pack(applied, key, ...(packed && packed.length <= MAX_KEPT_ANSWER_BYTES ? [packed] : []))
}
export interface RecordedOutcome {
  readonly applied: boolean
  /** The one that was made, '' where none was. */
  readonly key: string
  /** For `decodeTxnAnswer`. */
  readonly answer: Uint8Array | undefined
}

export function decodeOutcome(bytes: Uint8Array): RecordedOutcome {
  const f = unpack(bytes)
  return { applied: flag(f[1]), key: text(f[2]), answer: f[3] instanceof Uint8Array ? own(f[3]) : undefined }
}

export function decodeTxnAnswer(bytes: Uint8Array): TxnAnswer {
  const [, entries, errors] = unpack(bytes)
  if (!Array.isArray(entries) || !Array.isArray(errors)) throw new Malformed('no answer of a transaction')
  return { entries, errors }
}

/** How far the leader's observed time had come at which revisions. */
export interface ObservedAges {
  readonly elapsedMs: number
  readonly samples: readonly (readonly [elapsedMs: number, revision: number])[]
}
export const encodeAges = (ages: ObservedAges): Uint8Array => pack(ages.elapsedMs, ages.samples)
export function decodeAges(bytes: Uint8Array): ObservedAges {
  const f = unpack(bytes)
  const samples = Array.isArray(f[2]) ? f[2].filter(Array.isArray) : []
  return { elapsedMs: number(f[1]), samples: samples.map((s): [number, number] => [number(s[0]), number(s[1])]) }
}
