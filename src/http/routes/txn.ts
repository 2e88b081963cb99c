/** `/v1/txn`: up to 64 operations, all or none. */

import type * as z from 'zod'
import { isWrite, MAX_TXN_COMMANDS, type TxnAnswer, type TxnEntry, type TxnOperation } from '../../catalog/txn.ts'
import { AtollError } from '../../model/errors.ts'
import { json } from '../answer.ts'
import { decodeBody } from '../body/decode.ts'
import { readBody } from '../body/read.ts'
import { txnSchema } from '../body/schemas.ts'
import { flag, shows } from '../described.ts'
import { HttpError } from '../errors.ts'
import type { Json, JsonStruct } from '../json.ts'
import type { Route } from '../route.ts'
import * as shown from '../schemas/entries.ts'
import { checkShape, kvShape, nodeShape, serviceShape } from '../shapes.ts'
import { checkEntry, serviceEntry } from './catalog-command.ts'
import { localityOf } from './registration.ts'

const MAX_BODY_BYTES = 512 * 1024

export const txnRoutes: readonly Route[] = [
  {
    method: 'PUT',
    path: '/v1/txn',
    summary:
      'Up to 64 operations on keys, nodes, services and checks: all of them, or a 409 that says which could not be',
    parameters: { dc: 'the datacenter of all that is named', stale: flag('taken, and answered as without') },
    answers: {
      200: shows('What the operations gave', shown.txnAnswer, ['X-Consul-KnownLeader', 'X-Consul-LastContact']),
      409: shows('Nothing was done, and why', shown.txnAnswer),
    },
    body: txnSchema,
    async handle(call, { mesh }) {
      const bytes = await readBody(call.request, MAX_BODY_BYTES, tooLarge)
      const operations = operationsOf(decodeBody(txnSchema, bytes, 'Failed to parse body: '))
      const datacenter = call.query.get('dc') || undefined
      const { principal, request } = call
      const { txn, applied } = await mesh.execute(
        { kind: 'txn', operations },
        { principal, signal: request.signal, ...(datacenter && { datacenter }) },
      )
      if (txn === undefined) {
        throw new AtollError(
          'unknown-outcome',
          applied
            ? 'the transaction was applied; its answer, too large to be kept, got lost on the way: read what it wrote'
            : 'nothing was changed; which operations were refused got lost on the way: send the transaction again',
        )
      }
      const reads = !operations.some(isWrite)
      const body = { ...answerShape(txn, datacenter ?? mesh.datacenter), ...(reads && READ_META) }
      return json(body, call.pretty, txn.errors.length > 0 ? 409 : 200, reads ? READ_HEADERS : {})
    },
  },
]

const tooLarge = (length: number): string =>
  `Request body(${length} bytes) too large, max size: ${MAX_BODY_BYTES} bytes. Divide the transaction, or write large values by themselves`

/** What Consul adds to a transaction that only reads; its values are always these. */
const READ_META = {
  Index: 1,
  LastContact: 0,
  KnownLeader: true,
  ConsistencyLevel: '',
  NotModified: false,
  Backend: 0,
}
const READ_HEADERS = { 'X-Consul-Knownleader': 'true', 'X-Consul-Lastcontact': '0' }

const answerShape = ({ entries, errors }: TxnAnswer, datacenter: string): JsonStruct => ({
  Results: errors.length > 0 ? null : entries.map((entry) => entryShape(entry, datacenter)),
  Errors: errors.length === 0 ? null : errors.map(({ operation, what }) => ({ OpIndex: operation, What: what })),
})

const orNull = (list: readonly string[]): Json => (list.length === 0 ? null : list)

function entryShape(entry: TxnEntry, datacenter: string): JsonStruct {
  switch (entry.type) {
    case 'kv':
      return { KV: kvShape(entry.row) }
    case 'node':
      return { Node: nodeShape(entry.row, datacenter) }
    case 'service':
      return { Service: { ...serviceShape(entry.row), Tags: orNull(entry.row.tags) } }
    case 'check':
      return { Check: { ...checkShape(entry.row), ServiceTags: orNull(entry.row.serviceTags) } }
  }
}

type Body = z.output<typeof txnSchema>

function operationsOf(body: Body): TxnOperation[] {
  if (body.length > MAX_TXN_COMMANDS) {
    const count = `${body.length} > ${MAX_TXN_COMMANDS}`
    throw new HttpError(413, `Transaction contains too many operations (${count})`)
  }
  return body.flatMap((operation) => operationOf(operation) ?? [])
}

const EMPTY = new Uint8Array(0)

function operationOf({ KV, Node, Service, Check }: Body[number]): TxnOperation | undefined {
  if (KV) {
    return {
      type: 'kv',
      verb: KV.Verb ?? '',
      key: KV.Key ?? '',
      value: KV.Value ?? EMPTY,
      flags: KV.Flags ?? 0n,
      index: Number(KV.Index ?? 0n),
      session: (KV.Session ?? '').toLowerCase(),
    }
  }
  if (Node) {
    const { ID = '', Node: node = '', Address = '', TaggedAddresses, Meta, Locality, ModifyIndex = 0 } = Node.Node ?? {}
    const entry = {
      id: ID,
      node,
      address: Address,
      taggedAddresses: TaggedAddresses ?? null,
      meta: Meta ?? null,
      ...localityOf(Locality),
    }
    return { type: 'node', verb: Node.Verb ?? '', node: { ...entry, owner: 'catalog' }, index: ModifyIndex }
  }
  if (Service) {
    const service = Service.Service ?? {}
    const node = Service.Node ?? ''
    const index = service.ModifyIndex ?? 0
    // `get` and the deletions may name it by its id alone.
    return { type: 'service', verb: Service.Verb ?? '', node, service: { ...serviceEntry(node, service) }, index }
  }
  if (!Check) return undefined
  const check = Check.Check ?? {}
  const index = check.ModifyIndex ?? 0
  const looks = Check.Verb === 'get' || Check.Verb?.startsWith('delete')
  const entry = checkEntry(check.Node ?? '', looks ? { ...check, Status: 'critical' } : check)
  return { type: 'check', verb: Check.Verb ?? '', check: { ...entry, type: check.Type ?? '' }, index }
}
