/** What DNS tells of an instance: where it is, under which name, and how much of the traffic it should get. */
import { addressBytes, hexOf } from '../model/addresses.ts'
import type { NodeRow } from '../model/entries.ts'
import type { RoutedInstance } from '../resolver/mesh.ts'
import { isEncodable } from './records.ts'

export interface Endpoint {
  /** undefined where the instance is registered under a host name. */
  readonly address: Uint8Array | undefined
  readonly port: number
  readonly weight: number
  /** How busy it says that it is, from 0 to 1. */
  readonly load: number | undefined
  /** Lowest first (RFC 2782): 1 in the datacenter that was asked for, else one more than its distance in milliseconds. */
  readonly priority: number
  /** Target of the SRV record, without the final dot. */
  readonly target: string
  /** Meta data of the node, where `target` is its name. */
  readonly meta: NodeRow['meta']
}

/** The address of a node as seen from the asking datacenter. */
export function nodeAddress(node: NodeRow, isRemote: boolean): string {
  return (isRemote && node.taggedAddresses?.wan) || node.address
}

export interface EndpointContext {
  /** Datacenter of the instances. */
  readonly datacenter: string
  /** Whether it is another than that of the node that answers. */
  readonly isRemote: boolean
  readonly domain: string
}

const MAX_PRIORITY = 65_535

export function endpointOf(instance: RoutedInstance, context: EndpointContext): Endpoint {
  const { service, node, remote, status } = instance
  const ofNode = nodeAddress(node, context.isRemote)
  const { address, port } = remote ?? reachedAt(instance, context.isRemote)
  const bytes = addressBytes(address)
  const byNode = address === ofNode && isEncodable(nodeName(node.node, context))
  return {
    address: bytes,
    port: clamp(port),
    weight: clamp(status === 'warning' ? service.weights.warning : service.weights.passing),
    load: service.load,
    priority: remote === undefined || !context.isRemote ? 1 : priorityOf(remote.distanceMs),
    target: bytes === undefined ? address.replace(/\.$/, '') : targetOf(bytes, node.node, byNode, context),
    meta: byNode ? node.meta : null,
  }
}

/** Where an instance of a datacenter that was asked for by name is reached. */
function reachedAt({ service, node }: RoutedInstance, isRemote: boolean): { address: string; port: number } {
  const wan = isRemote ? service.taggedAddresses?.wan : undefined
  if (wan?.address) return { address: wan.address, port: wan.port || service.port }
  return { address: service.address || nodeAddress(node, isRemote), port: service.port }
}

const priorityOf = (distanceMs: number | undefined): number =>
  distanceMs === undefined ? MAX_PRIORITY : Math.min(MAX_PRIORITY, 1 + Math.max(1, Math.ceil(distanceMs)))

const clamp = (value: number): number => Math.min(65_535, Math.max(0, Math.trunc(value)))

export const nodeName = (node: string, { datacenter, domain }: Omit<EndpointContext, 'isRemote'>): string =>
  `${node}.node.${datacenter}.${domain}`

const targetOf = (address: Uint8Array, node: string, byNode: boolean, context: EndpointContext): string =>
  byNode ? nodeName(node, context) : `${hexOf(address)}.addr.${context.datacenter}.${context.domain}`

/** Weights are whole numbers, often 1: finer where loads are to show in them. */
const FINER = 100

/**
 * Weights by what room instances have left, where any of them says how busy it is; the fullest still gets a hundredth, and
 * who does not say keeps all of its weight.
 */
export function weighedByLoad(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  if (endpoints.every(({ load }) => load === undefined)) return endpoints
  const most = endpoints.reduce((max, { weight }) => Math.max(max, weight), 1)
  const finer = Math.min(FINER, MAX_WEIGHT / most)
  return endpoints.map((endpoint) => {
    const room = Math.max(1 / FINER, 1 - (endpoint.load ?? 0))
    const weight = endpoint.weight === 0 ? 0 : Math.max(1, Math.round(endpoint.weight * finer * room))
    return { ...endpoint, weight }
  })
}

const MAX_WEIGHT = 65_535
