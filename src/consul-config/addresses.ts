/** Addresses as Consul's users write them: templates that name an interface, and nodes to join without a port. */
import { AtollError } from '../model/errors.ts'

export interface Interface {
  readonly name: string
  readonly address: string
  readonly family: 'IPv4' | 'IPv6'
  readonly internal: boolean
}

/** Atoll's one port; Consul's Serf ports, which units and scripts name when they join. */
const DEFAULT_PORT = 8300
const SERF_PORTS = [8301, 8302]

/** `GetPrivateIP`, `GetPublicIP` and `GetInterfaceIP "eth0"` of go-sockaddr, in its braces; other texts stay. */
export function resolveAddress(text: string, field: string, interfaces: () => readonly Interface[]): string {
  const match = /^\s*\{\{-?\s*(.*?)\s*-?\}\}\s*$/s.exec(text)
  if (!match) return text.trim()
  const found = addressOf(match[1]!, interfaces())
  if (found === undefined) {
    throw new AtollError(
      'invalid',
      `${field}: "${text}": only GetPrivateIP, GetPublicIP and GetInterfaceIP "name" are known; write the address`,
      { field },
    )
  }
  if (found !== '') return found
  throw new AtollError('invalid', `${field}: "${text}": no interface of this machine has such an address`, { field })
}

/** '' where there is none, undefined for another template. */
function addressOf(template: string, interfaces: readonly Interface[]): string | undefined {
  const usable = interfaces.filter(({ family, internal }) => family === 'IPv4' && !internal)
  const first = (wanted: (address: string) => boolean): string =>
    usable.find(({ address }) => wanted(address))?.address ?? ''
  if (template === 'GetPrivateIP') return first(isPrivate)
  if (template === 'GetPublicIP') return first((address) => !isPrivate(address))
  const name = /^GetInterfaceIP\s+(?:"([^"]*)"|`([^`]*)`)$/.exec(template)
  if (!name) return undefined
  const of = interfaces.filter((one) => one.name === (name[1] ?? name[2]))
  return (of.find(({ family }) => family === 'IPv4') ?? of[0])?.address ?? ''
}

const isPrivate = (address: string): boolean =>
  /^(?:10\.|172\.(?:1[6-9]|2\d|3[01])\.|192\.168\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|169\.254\.)/.test(address)

/**
 * A node to join as host:port. Without a port it is the joining node's own, as in Consul, or Atoll's default; Consul's
 * default Serf ports mean Atoll's default too, unless this node was given a port. undefined for cloud auto-join
 * ("provider=aws ..."), which is not supported.
 */
export function joinAddress(text: string, ownPort: number | undefined): string | undefined {
  const given = text.trim()
  if (/\bprovider=/.test(given)) return undefined
  if (given.startsWith('/')) return given
  const port = ownPort === undefined || ownPort === 0 ? DEFAULT_PORT : ownPort
  const bare = /^\[?([0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*)\]?$/.exec(given)
  if (bare) return `[${bare[1]}]:${port}`
  const match = /^(.*):(\d{1,5})$/.exec(given)
  if (!match) return `${given}:${port}`
  return ownPort === undefined && SERF_PORTS.includes(Number(match[2])) ? `${match[1]}:${DEFAULT_PORT}` : given
}
