import { isIPv4, isIPv6 } from 'node:net'

/** Host names, addresses or multiaddrs as multiaddrs without the /p2p part; a host gets the listening port. */
export function announcedAddresses(advertise: readonly string[], port: number): string[] {
  return advertise.map((given) => {
    if (given.startsWith('/')) return given.replace(/\/p2p\/[^/]+$/, '')
    const match = /^(\[.+\]|[^:]+)(?::(\d+))?$/.exec(given)
    const host = isIPv6(given) ? given : (match?.[1] ?? given).replace(/^\[|\]$/g, '')
    const at = isIPv6(given) ? port : Number(match?.[2] ?? port)
    const kind = isIPv4(host) ? 'ip4' : isIPv6(host) ? 'ip6' : 'dns'
    return `/${kind}/${host}/tcp/${at}`
  })
}

/** The address by which the catalog knows a node: as configured, the first advertised host, or where it listens. */
export function catalogAddress(
  configured: string | undefined,
  advertise: readonly string[],
  listening: string,
): string {
  if (configured !== undefined) return configured
  const first = advertise[0]
  if (first !== undefined) return announcedAddresses([first], 0)[0]!.split('/')[2]!
  return listening === '0.0.0.0' || listening === '::' ? '127.0.0.1' : listening
}
