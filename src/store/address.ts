/** Where a store is, as `store.url` says it. */
import { AtollError } from '../model/errors.ts'

export type StoreAddress =
  | { readonly driver: 'embedded' }
  /** Members that the servers start themselves. */
  | { readonly driver: 'managed'; readonly prefix: string }
  | {
      readonly driver: 'etcd'
      /** Members as host:port. */
      readonly members: readonly string[]
      /** Ends with '/'. */
      readonly prefix: string
      readonly tls: boolean
    }

/** `store.url` of servers that run etcd themselves. */
export const MANAGED = 'etcd:managed'
const FORM = 'use "embedded", "etcd:managed", or etcd://host:port,host:port/prefix (etcds:// with TLS)'
const DEFAULT_PORT = 2379
const MAX_MEMBERS = 32
const MAX_PREFIX = 256

/** Without a prefix, the datacenter has one of its own. Throws AtollError 'invalid', naming store.url. */
export function parseStoreUrl(url: string, datacenter: string): StoreAddress {
  if (url === 'embedded') return { driver: 'embedded' }
  if (url === MANAGED) return { driver: 'managed', prefix: `atoll/${datacenter}/` }
  const match = /^(etcds?):\/\/([^/?#]*)(?:\/([^?#]*))?$/.exec(url)
  if (!match) throw invalid(`"${url}" is no address of a store; ${FORM}`)
  const [, scheme, hosts = '', path = ''] = match
  if (hosts.includes('@'))
    throw invalid('give the user and the password as store.user and store.password, not in the address')
  const members = hosts.split(',').map((host) => memberOf(host))
  if (members.length > MAX_MEMBERS) throw invalid(`${members.length} members; at most ${MAX_MEMBERS} are taken`)
  const prefix = path.replace(/\/+$/, '') || `atoll/${datacenter}`
  if (!/^[\x21-\x7e]+$/.test(prefix) || prefix.length > MAX_PREFIX) {
    throw invalid(`the prefix "${prefix}" must be 1 to ${MAX_PREFIX} visible ASCII characters`)
  }
  return { driver: 'etcd', members, prefix: `${prefix}/`, tls: scheme === 'etcds' }
}

function memberOf(host: string): string {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(host)
  const port = Number(match?.[2] ?? DEFAULT_PORT)
  if (!match || port < 1 || port > 65_535) throw invalid(`"${host}" is no host:port; ${FORM}`)
  return `${match[1]}:${port}`
}

const invalid = (message: string): AtollError =>
  new AtollError('invalid', `store.url: ${message}`, { field: 'store.url' })
