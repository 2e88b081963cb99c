/** From what the catalog says to record sets. Pure; a set is made anew only when its answer changed. */
import { addressBytes } from '../model/addresses.ts'
import { parseDuration } from '../model/duration.ts'
import type { NodeRow } from '../model/entries.ts'
import type { Execution, RoutedInstance } from '../resolver/mesh.ts'
import { type Endpoint, type EndpointContext, endpointOf, nodeAddress, weighedByLoad } from './endpoints.ts'
import { NAME_AT, RCODE, TYPE } from './query.ts'
import { bareGroup, type Group, type OwnedRecord, type RecordSet, recordSet } from './record-set.ts'
import {
  addressRecord,
  encodedName,
  isEncodable,
  nameRecord,
  pairText,
  type Rest,
  SRV_TARGET_AT,
  soaRecord,
  srvRecord,
  textRecord,
} from './records.ts'
import { type DnsSettings, serviceTtl } from './settings.ts'

/** What all answers to one name share. */
export interface NameContext extends EndpointContext {
  readonly type: number
  /** Offset of the domain in the message. */
  readonly domainOwner: number
  /** Seconds since 1970: the serial of the zone. */
  readonly serial: number
  readonly settings: DnsSettings
}

const soaOf = ({ domain, domainOwner, serial, settings }: NameContext): OwnedRecord => ({
  owner: domainOwner,
  rest: soaRecord(domain, serial, settings.soa),
})

/** There is no such name. */
export const absent = (context: NameContext): RecordSet =>
  recordSet({ rcode: RCODE.NXDOMAIN, authority: [soaOf(context)] })

/** The name is there, but has nothing of that type. */
export const noData = (context: NameContext): RecordSet => recordSet({ authority: [soaOf(context)] })

const wants = (type: number, wanted: number): boolean => type === wanted || type === TYPE.ANY

/** A service's instances; none: there is no such name. */
export function serviceAnswer(service: string, instances: readonly RoutedInstance[], context: NameContext): RecordSet {
  return instancesAnswer(instances, serviceTtl(context.settings, service), context)
}

const MAX_TTL_SECONDS = 2 ** 31 - 1

/** What a prepared query selects, under its TTL, in its order where that means something. */
export function queryAnswer(found: Execution | undefined, context: NameContext): RecordSet {
  if (found === undefined) return absent(context)
  const { query, instances, isOrdered } = found
  const own = query.dnsTtl === '' ? undefined : parseDuration(query.dnsTtl)
  const ttl =
    own === undefined
      ? serviceTtl(context.settings, query.service.service)
      : Math.min(MAX_TTL_SECONDS, Math.max(0, Math.floor(own / 1000)))
  const set = instancesAnswer(instances, ttl, context)
  return isOrdered ? { ...set, ordered: true } : set
}

function instancesAnswer(instances: readonly RoutedInstance[], ttl: number, context: NameContext): RecordSet {
  if (instances.length === 0) return absent(context)
  const endpoints = weighedByLoad(instances.map((instance) => endpointOf(instance, context)))
  if (context.type === TYPE.SRV) return srvAnswer(endpoints, ttl, context)
  return addressAnswer(endpoints, ttl, context.settings.addressLimit, context)
}

function srvAnswer(endpoints: readonly Endpoint[], ttl: number, context: NameContext): RecordSet {
  const seen = new Set<string>()
  const groups: Group[] = []
  for (const endpoint of endpoints) {
    const { target, port } = endpoint
    const key = `${port} ${target.toLowerCase()}`
    if (seen.has(key) || !isEncodable(target)) continue
    seen.add(key)
    groups.push({
      rest: srvRecord(endpoint, ttl),
      targetAt: SRV_TARGET_AT,
      glue: endpoint.address === undefined ? [] : [addressRecord(endpoint.address, ttl)],
      texts: context.settings.nodeMetaTxt ? metaTexts(endpoint.meta, ttl) : [],
      weight: endpoint.weight,
      ...(endpoint.address === undefined && { name: target }),
    })
  }
  return groups.length === 0 ? noData(context) : recordSet({ groups })
}

function addressAnswer(endpoints: readonly Endpoint[], ttl: number, limit: number, context: NameContext): RecordSet {
  const { type } = context
  const byAddress = new Map<string, Group>()
  for (const { address, weight } of endpoints) {
    if (address === undefined || !wants(type, address.length === 4 ? TYPE.A : TYPE.AAAA)) continue
    const key = String(address)
    byAddress.set(key, bareGroup(addressRecord(address, ttl), weight + (byAddress.get(key)?.weight ?? 0)))
  }
  if (byAddress.size > 0) return recordSet({ groups: [...byAddress.values()], limit })
  // One name stands for one other: a CNAME only where there are no addresses.
  if (endpoints.some(({ address }) => address !== undefined)) return noData(context)
  return aliasAnswer(
    endpoints.map(({ target }) => target),
    ttl,
    context,
  )
}

function aliasAnswer(targets: readonly string[], ttl: number, context: NameContext): RecordSet {
  const { type } = context
  const usable = [...new Set(targets)].filter(isEncodable)
  const asked = wants(type, TYPE.CNAME) || type === TYPE.A || type === TYPE.AAAA
  if (usable.length === 0 || !asked) return noData(context)
  return recordSet({ aliases: usable.map((target) => ({ target, rest: nameRecord('CNAME', target, ttl) })) })
}

const metaTexts = (meta: NodeRow['meta'], ttl: number): Rest[] =>
  Object.entries(meta ?? {}).map(([key, value]) => textRecord(pairText(key, value), ttl))

/** A node: its address, and its meta data as TXT. */
export function nodeAnswer(node: NodeRow | undefined, context: NameContext): RecordSet {
  if (node === undefined) return absent(context)
  const { type, settings } = context
  const ttl = settings.ttlSeconds.node
  const address = nodeAddress(node, context.isRemote)
  const bytes = addressBytes(address)
  const texts = metaTexts(node.meta, ttl)
  if (type === TYPE.TXT)
    return texts.length === 0 ? noData(context) : recordSet({ groups: texts.map((text) => bareGroup(text)) })
  if (bytes === undefined) return aliasAnswer([address.replace(/\.$/, '')], ttl, context)
  if (!wants(type, bytes.length === 4 ? TYPE.A : TYPE.AAAA)) return noData(context)
  const record = bareGroup(addressRecord(bytes, ttl))
  if (type === TYPE.ANY) return recordSet({ groups: [record, ...texts.map((text) => bareGroup(text))] })
  const additional = settings.nodeMetaTxt ? texts.map((rest) => ({ owner: NAME_AT, rest })) : []
  return recordSet({ groups: [record], additional })
}

/** `0a000001.addr`: the address that its name holds. */
export function literalAnswer(address: Uint8Array, context: NameContext): RecordSet {
  if (!wants(context.type, address.length === 4 ? TYPE.A : TYPE.AAAA)) return noData(context)
  return recordSet({ groups: [bareGroup(addressRecord(address, context.settings.ttlSeconds.node))] })
}

/** The most name servers that are told. */
const MAX_NAME_SERVERS = 3

/** SOA and NS: the servers of the datacenter that answers are those of the zone. */
export function zoneAnswer(servers: readonly RoutedInstance[], context: NameContext): RecordSet {
  const { domainOwner, settings, type } = context
  const ttl = settings.ttlSeconds.node
  const endpoints = servers
    .map((server) => endpointOf(server, context))
    .filter(({ target }) => isEncodable(target))
    .slice(0, MAX_NAME_SERVERS)
  const records = endpoints.map(({ target }) => nameRecord('NS', target, ttl))
  const additional = endpoints.flatMap(({ target, address }) =>
    address === undefined ? [] : [{ owner: encodedName(target), rest: addressRecord(address, ttl) }],
  )
  if (type === TYPE.NS)
    return recordSet({ groups: records.map((rest) => bareGroup(rest)), owner: domainOwner, additional })
  return recordSet({
    groups: [bareGroup(soaOf(context).rest)],
    owner: domainOwner,
    authority: records.map((rest) => ({ owner: domainOwner, rest })),
    additional,
  })
}

/** Who has an address. Nobody: the name is not ours. */
export function reverseAnswer(
  found: { readonly node?: string; readonly service?: string } | undefined,
  { datacenter, domain }: NameContext,
): RecordSet {
  const what =
    found?.node !== undefined ? `${found.node}.node` : found?.service !== undefined ? `${found.service}.service` : ''
  const name = `${what}.${datacenter}.${domain}`
  if (what === '' || !isEncodable(name)) return recordSet({ foreign: true })
  return recordSet({ groups: [bareGroup(nameRecord('PTR', name, 0))] })
}
