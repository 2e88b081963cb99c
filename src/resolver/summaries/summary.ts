/**
 * A service in a few hundred bytes: how many instances it has, how many pass, and the best few. What client nodes hold of
 * every service, to answer from when no server of their datacenter can be reached.
 */
import { Packr } from 'msgpackr'
import type { CatalogView } from '../../catalog/view.ts'
import type { Instance, ServiceAddress, Status } from '../../model/entries.ts'
import { AtollError } from '../../model/errors.ts'
import { packCopy } from '../../model/packing.ts'

/** One of the best few instances, as far as it takes to use it. */
export interface Endpoint {
  readonly node: string
  readonly nodeId: string
  readonly nodeAddress: string
  readonly serviceId: string
  readonly address: string
  readonly port: number
  readonly status: Status
  readonly tags: readonly string[]
  /** From other DCs, where it has one; see `addressFromAfar`. */
  readonly afar: ServiceAddress | undefined
}

export interface Summary {
  /** As it is spelled. */
  readonly service: string
  /** Index of the service in its DC. */
  readonly index: number
  readonly instances: number
  readonly passing: number
  /** Lookups do not return to this DC yet (its leader has seen it well for too short a while). */
  readonly held: boolean
  /** Lookups must not leave this DC for the service's sake. */
  readonly stays: boolean
  /** Distinct tags of all instances, at most MAX_TAGS. */
  readonly tags: readonly string[]
  /** At most MAX_ENDPOINTS: passing before warning before critical, spread over the nodes. */
  readonly endpoints: readonly Endpoint[]
}

export const MAX_ENDPOINTS = 5
const MAX_TAGS = 32
/** Longer tags and addresses are none that a summary is for. */
const MAX_TEXT = 256
/** Bytes of an encoded one; a service whose summary is larger is left out. */
export const MAX_SUMMARY_BYTES = 16_384

const STATUSES: readonly Status[] = ['passing', 'warning', 'critical']

/** undefined when there is nothing to say: no instance, and no failover under way. */
export function summarize(
  view: CatalogView,
  part: string,
  afarOf: (instance: Instance) => ServiceAddress | undefined,
): Summary | undefined {
  const instances = view.instances(part)
  const held = view.failover(part) !== undefined
  if (instances.length === 0 && !held) return undefined
  return {
    service: instances[0]?.service.service ?? part,
    index: view.topic({ kind: 'service', service: part }).index,
    instances: instances.length,
    passing: instances.reduce((count, { status }) => count + Number(status === 'passing'), 0),
    held,
    stays: instances.some(({ service }) => service.failover === false),
    tags: distinctTags(instances),
    endpoints: best(instances).map((instance) => endpointOf(instance, afarOf(instance))),
  }
}

function distinctTags(instances: readonly Instance[]): readonly string[] {
  const tags = new Set<string>()
  for (const { service } of instances) {
    for (const tag of service.tags) if (tag.length <= MAX_TEXT) tags.add(tag)
    if (tags.size >= MAX_TAGS) break
  }
  return [...tags].slice(0, MAX_TAGS)
}

/** The healthiest; among equals in an order by hash, so that not every service names the nodes that come first. */
function best(instances: readonly Instance[]): readonly Instance[] {
  const ranked: { readonly instance: Instance; readonly rank: number }[] = []
  for (const instance of instances) {
    const { node, service, status } = instance
    const rank = STATUSES.indexOf(status) * 2 ** 32 + hashOf(`${service.service} ${node.node} ${service.id}`)
    if (ranked.length === MAX_ENDPOINTS && rank >= ranked.at(-1)!.rank) continue
    ranked.push({ instance, rank })
    ranked.sort((a, b) => a.rank - b.rank)
    if (ranked.length > MAX_ENDPOINTS) ranked.pop()
  }
  return ranked.map(({ instance }) => instance)
}

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let state = 0x811c9dc5
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193)
  return (state ^ (state >>> 15)) >>> 0
}

const endpointOf = ({ node, service, status }: Instance, afar: ServiceAddress | undefined): Endpoint => ({
  node: node.node,
  nodeId: node.id,
  nodeAddress: node.address,
  serviceId: service.id,
  address: service.address,
  port: service.port,
  status,
  tags: service.tags.filter((tag) => tag.length <= MAX_TEXT).slice(0, MAX_TAGS),
  afar,
})

const packr = new Packr({ useRecords: false, mapsAsObjects: false, moreTypes: false, int64AsType: 'number' })

export function encodeSummary(summary: Summary): Uint8Array {
  const { service, index, instances, passing, held, stays, tags, endpoints } = summary
  const plain = endpoints.map((each) => [
    each.node,
    each.nodeId,
    each.nodeAddress,
    each.serviceId,
    each.address,
    each.port,
    STATUSES.indexOf(each.status),
    each.tags,
    each.afar?.address ?? '',
    each.afar?.port ?? 0,
  ])
  return packCopy(packr, [service, index, instances, passing, Number(held) + 2 * Number(stays), tags, plain])
}

/** What a server sent. Throws AtollError 'unavailable' when it makes no sense here; later fields are passed over. */
export function decodeSummary(bytes: Uint8Array): Summary {
  try {
    const [service, index, instances, passing, flags, tags, endpoints] = listOf(packr.unpack(bytes))
    return {
      service: textOf(service),
      index: numberOf(index),
      instances: numberOf(instances),
      passing: numberOf(passing),
      held: (numberOf(flags) & 1) !== 0,
      stays: (numberOf(flags) & 2) !== 0,
      tags: listOf(tags).map(textOf),
      endpoints: listOf(endpoints).map(readEndpoint),
    }
  } catch (error) {
    throw new AtollError('unavailable', 'a server told a summary in words that this node does not know', {
      cause: error,
    })
  }
}

function readEndpoint(value: unknown): Endpoint {
  const [node, nodeId, nodeAddress, serviceId, address, port, status, tags, afar, afarPort] = listOf(value)
  const known = STATUSES[numberOf(status)]
  if (known === undefined) throw new TypeError('no status')
  return {
    node: textOf(node),
    nodeId: textOf(nodeId),
    nodeAddress: textOf(nodeAddress),
    serviceId: textOf(serviceId),
    address: textOf(address),
    port: numberOf(port),
    status: known,
    tags: listOf(tags).map(textOf),
    afar: textOf(afar) === '' ? undefined : { address: textOf(afar), port: numberOf(afarPort) },
  }
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('no text')
  return value
}
function numberOf(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw new TypeError('no whole number')
  return value
}
function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new TypeError('no list')
  return value
}
