import type { CoordinateRow } from '../../model/coordinate.ts'
import { AtollError } from '../../model/errors.ts'
import { type EventEntry, MAX_EVENT_BYTES, MAX_EVENT_FILTER_LENGTH } from '../../model/event.ts'
import { keys } from '../../model/keys.ts'
import { MAX_QUERY_ELEMENTS, MAX_QUERY_NAME, type PreparedQueryEntry } from '../../model/prepared-query.ts'
import {
  checksOfSession,
  MAX_SESSION_CHECKS,
  MAX_SESSION_TTL_MS,
  MIN_SESSION_TTL_MS,
  type SessionEntry,
} from '../../model/session.ts'
import { isUuid, uuidFault } from '../../model/uuid.ts'
import { MAX_KEY_BYTES } from '../../store/store.ts'
import { type Command, MAX_COORDINATES, MAX_KV_VALUE_BYTES } from '../catalog.ts'
import { MAX_FLAGS } from '../codec.ts'
import { MAX_TXN_COMMANDS, type TxnOperation } from '../txn.ts'

/** Throws AtollError 'invalid' or 'too-large' for what no state of the catalog would take; `field` as the API spells it. */
export function validate(command: Command): void {
  switch (command.kind) {
    case 'register':
    case 'agent-sync':
      validateEntries(command)
      break
    case 'deregister':
      required(command.node, 'Node', 'Must provide node')
      storable(keys.check(command.node, command.serviceId || command.checkId || ''), 'Node')
      break
    case 'check-status':
      required(command.node, 'Node', 'Must provide node')
      storable(keys.check(command.node, command.checkId), 'CheckID')
      break
    case 'coordinate-update':
      required(command.node, 'Node', 'Must provide node')
      storable(keys.coordinate(command.node, command.segment), 'Segment')
      break
    case 'coordinate-batch':
      validateCoordinates(command.rows)
      break
    case 'failover-return':
      storable(keys.failover(command.service), 'Service')
      break
    case 'kv-put':
      validatePut(command)
      break
    case 'kv-delete':
      if (!command.recurse) required(command.key, 'Key', 'Missing key name')
      storable(keys.kv(command.key), 'Key')
      break
    case 'kv-lock':
      validatePut(command)
      storable(keys.lockDelay(command.key), 'Key')
      validateSessionId(command.session, 'acquire')
      break
    case 'kv-unlock':
      validatePut(command)
      required(command.session, 'release', 'missing session')
      break
    case 'kv-sequence':
      validatePut({ ...command, key: `${command.prefix}0000000000000000` })
      storable(keys.lockDelay(`${command.prefix}0000000000000000`), 'Key')
      if (command.session !== '') validateSessionId(command.session, 'acquire')
      break
    case 'session-create':
      validateSession(command.session)
      break
    case 'session-destroy':
    case 'session-renew':
      validateSessionId(command.session, 'session')
      break
    case 'query-put':
      validateQuery(command.query)
      break
    case 'query-delete':
      validateQueryId(command.query)
      break
    case 'event-fire':
      validateEvent(command.event)
      break
    case 'txn':
      if (command.operations.length > MAX_TXN_COMMANDS) {
        const message = `operations: ${command.operations.length}; a transaction takes at most ${MAX_TXN_COMMANDS}`
        throw new AtollError('too-large', message, { field: 'operations' })
      }
      for (const operation of command.operations) validateOperation(operation)
      break
    case 'lock-delay-end':
      storable(keys.lockDelay(command.key), 'Key')
  }
}

function validateOperation(operation: TxnOperation): void {
  switch (operation.type) {
    case 'kv':
      if (operation.key !== '') validatePut(operation)
      if (operation.verb === 'lock') storable(keys.lockDelay(operation.key), 'Key')
      break
    case 'node':
      storable(keys.node(operation.node.node), 'Node')
      break
    case 'service':
      storable(keys.service(operation.node, operation.service.id || operation.service.service), 'Service.ID')
      storable(keys.serviceIndex(operation.service.service), 'Service.Service')
      break
    case 'check':
      storable(keys.check(operation.check.node, operation.check.checkId || operation.check.name), 'Check.CheckID')
  }
}

function validateEvent({ name, payload, ...filters }: EventEntry): void {
  required(name, 'Name', 'Missing name')
  const bytes = payload.length + encoder.encode(name).length
  if (bytes > MAX_EVENT_BYTES) {
    const message = `Payload: ${bytes} bytes with the name; an event takes at most ${MAX_EVENT_BYTES}`
    throw new AtollError('too-large', message, { field: 'Payload' })
  }
  for (const filter of [filters.nodeFilter, filters.serviceFilter, filters.tagFilter]) {
    if (filter.length <= MAX_EVENT_FILTER_LENGTH) continue
    const message = `filter: ${filter.length} characters; at most ${MAX_EVENT_FILTER_LENGTH} are taken`
    throw new AtollError('invalid', message, { field: 'filter' })
  }
}

function validateSessionId(id: string, field: string): void {
  required(id, field, 'missing session')
  const fault = uuidFault(id)
  if (fault) throw new AtollError('invalid', `failed session lookup: index error: ${fault}`, { field })
}

function validateQueryId(id: string): void {
  if (isUuid(id)) return
  throw new AtollError('invalid', `ID: ${JSON.stringify(id)} is no UUID, which names a prepared query`, { field: 'ID' })
}

function validateQuery({ service, ...query }: PreparedQueryEntry): void {
  validateQueryId(query.id)
  storable(keys.queryName(query.name), 'Name')
  required(service.service, 'Service.Service', 'Must provide a Service name to query')
  if (query.name.length > MAX_QUERY_NAME) {
    const message = `Name: ${query.name.length} characters; at most ${MAX_QUERY_NAME} are taken`
    throw new AtollError('invalid', message, { field: 'Name' })
  }
  const lists: readonly (readonly [string, number])[] = [
    ['Service.Failover.Datacenters', service.failover.datacenters?.length ?? 0],
    ['Service.Failover.Targets', service.failover.targets?.length ?? 0],
    ['Service.IgnoreCheckIDs', service.ignoreCheckIds?.length ?? 0],
    ['Service.Tags', service.tags?.length ?? 0],
    ['Service.NodeMeta', Object.keys(service.nodeMeta ?? {}).length],
    ['Service.ServiceMeta', Object.keys(service.serviceMeta ?? {}).length],
  ]
  for (const [field, count] of lists) {
    if (count <= MAX_QUERY_ELEMENTS) continue
    throw new AtollError('invalid', `${field}: ${count} elements; at most ${MAX_QUERY_ELEMENTS} are taken`, { field })
  }
}

function validateSession(session: Omit<SessionEntry, 'ending'>): void {
  validateSessionId(session.id, 'ID')
  required(session.node, 'Node', 'Missing node registration')
  storable(keys.node(session.node), 'Node')
  const { ttlMs, lockDelayMs } = session
  if (ttlMs !== 0 && !(ttlMs >= MIN_SESSION_TTL_MS && ttlMs <= MAX_SESSION_TTL_MS)) {
    const bounds = `${MIN_SESSION_TTL_MS} to ${MAX_SESSION_TTL_MS}`
    throw new AtollError('invalid', `TTL: ${ttlMs} ms; give ${bounds} ms, or none`, { field: 'TTL' })
  }
  if (!(lockDelayMs >= 0 && lockDelayMs <= MAX_SESSION_TTL_MS)) {
    const message = `LockDelay: ${lockDelayMs} ms; give 0 to ${MAX_SESSION_TTL_MS} ms`
    throw new AtollError('invalid', message, { field: 'LockDelay' })
  }
  const checks = checksOfSession(session)
  if (checks.length > MAX_SESSION_CHECKS) {
    const message = `NodeChecks: ${checks.length} checks; a session rests on at most ${MAX_SESSION_CHECKS}`
    throw new AtollError('invalid', message, { field: 'NodeChecks' })
  }
  for (const check of checks) storable(keys.check(session.node, check), 'NodeChecks')
}

function validateEntries(command: Extract<Command, { kind: 'register' | 'agent-sync' }>): void {
  const { node } = command.node
  required(node, 'Node', 'Must provide node')
  storable(keys.node(node), 'Node')
  for (const service of command.services) {
    required(service.service, 'Service.Service', 'Must provide service name with ID')
    storable(keys.service(node, service.id || service.service), 'Service.ID')
    storable(keys.serviceIndex(service.service), 'Service.Service')
  }
  for (const check of command.checks) {
    const message = `failed inserting check: failed health check lookup: index error: object is missing a value for this index on node ${JSON.stringify(node)}`
    required(check.checkId || check.name, 'Check.CheckID', message)
    storable(keys.check(node, check.checkId || check.name), 'Check.CheckID')
  }
}

function validateCoordinates(rows: readonly CoordinateRow[]): void {
  if (rows.length > MAX_COORDINATES) {
    const message = `rows: ${rows.length} coordinates; at most ${MAX_COORDINATES} go into one transaction`
    throw new AtollError('too-large', message, { field: 'rows' })
  }
  for (const { node, segment } of rows) {
    required(node, 'Node', 'Must provide node')
    storable(keys.coordinate(node, segment), 'Segment')
  }
}

interface Written {
  readonly key: string
  readonly value: Uint8Array
  readonly flags: bigint
}

function validatePut({ key, value, flags }: Written): void {
  required(key, 'Key', 'Missing key name')
  storable(keys.kv(key), 'Key')
  if (flags < 0n || flags > MAX_FLAGS) {
    throw new AtollError('invalid', `flags: ${flags} is no number of 64 bits without a sign`, { field: 'flags' })
  }
  if (value.length > MAX_KV_VALUE_BYTES) {
    const message = `value: ${value.length} bytes; a key takes at most ${MAX_KV_VALUE_BYTES}`
    throw new AtollError('too-large', message, { field: 'Value' })
  }
}

function required(value: string, field: string, message: string): void {
  if (value === '') throw new AtollError('invalid', message, { field })
}

function storable(key: string, field: string): void {
  if (!key.isWellFormed()) throw new AtollError('invalid', `${field}: holds half of a surrogate pair`, { field })
  if (key.length * 3 <= MAX_KEY_BYTES) return
  const bytes = encoder.encode(key).length
  if (bytes > MAX_KEY_BYTES) {
    throw new AtollError('invalid', `${field}: its key takes ${bytes} bytes; at most ${MAX_KEY_BYTES} are stored`, {
      field,
    })
  }
}

const encoder = new TextEncoder()
