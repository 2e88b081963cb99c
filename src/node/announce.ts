/** Under which addresses others know a node: what is announced to the mesh, and what the catalog shows. */
import { isIPv4, isIPv6 } from 'node:net'
import { AtollError } from '../model/errors.ts'

const MULTIADDR = /^\/(?:ip4|ip6|dns|dns4|dns6)\/[^/]+\/tcp\/\d{1,5}(?:\/p2p\/[^/]+)?$/
const HOST = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})$/

/**
 * Host names, addresses or multiaddrs as multiaddrs without the /p2p part; a host without a port gets the one that is
 * listened on. Throws AtollError 'invalid'.
 */
export function announcedAddresses(advertise: readonly string[], port: number): string[] {
  return advertise.map((given) => {
    if (given.startsWith('/')) {
      if (!MULTIADDR.test(given)) throw refused(given, 'a multiaddr is written /ip4/203.0.113.7/tcp/8300')
      return given.replace(/\/p2p\/[^/]+$/, '')
    }
    const { host, kind, at } = hostOf(given)
    const announced = at ?? port
    if (announced === 0)
      throw refused(given, 'where federation.port is 0 nobody knows the port beforehand; write host:port')
    return `/${kind}/${host}/tcp/${announced}`
  })
}

function hostOf(given: string): { host: string; kind: 'ip4' | 'ip6' | 'dns'; at: number | undefined } {
  if (isIPv6(given)) return { host: given, kind: 'ip6', at: undefined }
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(given)
  const host = match?.[1] ?? match?.[2] ?? ''
  const at = match?.[3] === undefined ? undefined : Number(match[3])
  const kind = isIPv4(host) ? 'ip4' : isIPv6(host) ? 'ip6' : 'dns'
  const fits = match?.[1] !== undefined ? kind === 'ip6' : kind === 'ip4' || HOST.test(host)
  if (!fits || at === 0 || (at ?? 1) > 65_535) throw refused(given, 'write a host, host:port or a multiaddr')
  return { host, kind, at }
}

const refused = (given: string, advice: string): AtollError =>
  new AtollError('invalid', `federation.advertise: "${given}" is no address that others could dial; ${advice}`, {
    field: 'federation.advertise',
  })

export interface CatalogAddressOptions {
  readonly configured: string | undefined
  readonly advertise: readonly string[]
  /** What libp2p was told to listen on. */
  readonly listening: string
  /** Multiaddrs at which it does. */
  readonly addresses: readonly string[]
}

/** The address by which the catalog knows a node: as configured, the first advertised host, or where it listens. */
export function catalogAddress({ configured, advertise, listening, addresses }: CatalogAddressOptions): string {
  if (configured !== undefined) return configured
  const first = advertise[0]
  if (first !== undefined) return first.startsWith('/') ? first.split('/')[2]! : hostOf(first).host
  if (listening === 'localhost') return '127.0.0.1'
  if (!UNSPECIFIED.has(listening)) return listening
  const hosts = addresses.map((address) => address.split('/')[2] ?? '').filter((host) => !ONLY_HERE.test(host))
  return hosts.find((host) => isIPv4(host)) ?? hosts[0] ?? '127.0.0.1'
}

const UNSPECIFIED = new Set(['', '*', '0.0.0.0', '::'])
/** Loopback and link-local. */
const ONLY_HERE = /^(?:127\.|169\.254\.|0\.0\.0\.0$|::1?$|fe80:)/i

/** A node's addresses by network, as Consul names them; `wan` is its own address unless another is configured. */
export function taggedAddressesOf(
  address: string,
  configured: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const wan = configured.wan ?? address
  return { ...named('lan', configured.lan ?? address), ...named('wan', wan), ...configured }
}

function named(network: string, address: string): Record<string, string> {
  const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined
  return { [network]: address, ...(family !== undefined && { [`${network}_${family}`]: address }) }
}
