/** `atoll agent`: flags, environment and file to one configuration, a node from that, and its end in good order. */
import type { RunningNode } from '../node.ts'
import { type Context, defineCommand, type Flags, UsageError } from './command.ts'
import { defaultDataDirectory, withFreePorts } from './defaults.ts'
import { readInput } from './input.ts'

const flags = {
  dev: { type: 'boolean', env: ['ATOLL_DEV'], purpose: 'a server that keeps nothing, for trying things out' },
  server: {
    type: 'boolean',
    env: ['ATOLL_SERVER'],
    purpose: "hold the datacenter's catalog; otherwise this is a client of its servers",
  },
  dc: { type: 'string', value: 'name', env: ['ATOLL_DC'], purpose: 'datacenter of this node; dc1 unless given' },
  node: {
    type: 'string',
    value: 'name',
    env: ['ATOLL_NODE'],
    purpose: "name of this node, unique in its datacenter; the host's unless given",
  },
  'data-dir': {
    type: 'string',
    value: 'path',
    env: ['ATOLL_DATA_DIR'],
    purpose: 'where identity, store and registrations are kept; .atoll/<dc> unless given',
  },
  store: {
    type: 'string',
    value: 'url',
    env: ['ATOLL_STORE'],
    purpose: 'where a server keeps the catalog: embedded, or etcd://host:port,host:port/prefix; embedded unless given',
  },
  'store-user': { type: 'string', value: 'name', env: ['ATOLL_STORE_USER'], purpose: "etcd's user" },
  'store-password': {
    type: 'string',
    value: 'secret',
    env: ['ATOLL_STORE_PASSWORD'],
    purpose: 'its password; the environment or the file keeps it out of the list of processes',
  },
  'store-ca': {
    type: 'string',
    value: 'path',
    env: ['ATOLL_STORE_CA'],
    purpose: "PEM file of who signed the certificates of etcd's members",
  },
  'store-cert': {
    type: 'string',
    value: 'path',
    env: ['ATOLL_STORE_CERT'],
    purpose: 'PEM file of the certificate by which etcd knows this server',
  },
  'store-key': { type: 'string', value: 'path', env: ['ATOLL_STORE_KEY'], purpose: 'PEM file of its key' },
  'store-server-name': {
    type: 'string',
    value: 'name',
    env: ['ATOLL_STORE_SERVER_NAME'],
    purpose: "name in the certificates of etcd's members, where it is not the host",
  },
  'http-host': {
    type: 'string',
    value: 'host',
    env: ['ATOLL_HTTP_HOST'],
    purpose: 'address that the HTTP API listens on; 127.0.0.1 unless given',
  },
  'http-port': {
    type: 'number',
    value: 'port',
    env: ['ATOLL_HTTP_PORT'],
    purpose: 'its port, 0 for a free one; 8500, or a free one if that is taken, unless given',
  },
  'dns-host': {
    type: 'string',
    value: 'host',
    env: ['ATOLL_DNS_HOST'],
    purpose: 'address that DNS listens on, by UDP and TCP; 127.0.0.1 unless given',
  },
  'dns-port': {
    type: 'number',
    value: 'port',
    env: ['ATOLL_DNS_PORT'],
    purpose: 'its port, 0 for a free one; 8600, or a free one if that is taken, unless given',
  },
  domain: {
    type: 'list',
    value: 'name',
    commas: true,
    env: ['ATOLL_DOMAIN'],
    purpose: 'domains that DNS answers; atoll and consul unless given',
  },
  recursor: {
    type: 'list',
    value: 'address',
    commas: true,
    env: ['ATOLL_RECURSOR'],
    purpose: 'resolvers for all other names, as address:port',
  },
  bind: {
    type: 'string',
    value: 'host',
    env: ['ATOLL_BIND'],
    purpose: 'address that libp2p listens on; 127.0.0.1 unless given',
  },
  port: {
    type: 'number',
    value: 'port',
    env: ['ATOLL_PORT'],
    purpose: 'its port, 0 for a free one; 8300, or a free one, unless given',
  },
  advertise: {
    type: 'list',
    value: 'host',
    commas: true,
    env: ['ATOLL_ADVERTISE'],
    purpose: 'hosts or multiaddrs under which other nodes reach this one',
  },
  join: {
    type: 'list',
    value: 'address',
    commas: true,
    env: ['ATOLL_JOIN'],
    purpose: 'nodes to join, as host:port or multiaddr; several with commas',
  },
  mesh: {
    type: 'string',
    value: 'name',
    env: ['ATOLL_MESH'],
    purpose: 'only nodes of the same mesh talk to each other; atoll unless given',
  },
  'flat-network': {
    type: 'boolean',
    env: ['ATOLL_FLAT_NETWORK'],
    purpose: 'every address of every datacenter can be reached from all others',
  },
  failover: {
    type: 'boolean',
    env: ['ATOLL_FAILOVER'],
    purpose: 'lookups go to other datacenters while nothing passes here; on unless --failover=false',
  },
  address: {
    type: 'string',
    value: 'host',
    env: ['ATOLL_ADDRESS'],
    purpose: 'address of this node as the catalog shows it',
  },
  'wan-address': {
    type: 'string',
    value: 'host',
    env: ['ATOLL_WAN_ADDRESS'],
    purpose: 'address of this node for other datacenters',
  },
  'node-meta': { type: 'pairs', purpose: 'data about this node that lookups can select by' },
  preset: {
    type: 'string',
    choices: ['dev', 'lan', 'wan'],
    env: ['ATOLL_PRESET'],
    purpose: 'timings for how far the nodes of this datacenter are apart',
  },
  config: {
    type: 'string',
    value: 'path',
    env: ['ATOLL_CONFIG'],
    purpose: 'JSON file with any of this and more; flags and environment win',
  },
  'log-level': {
    type: 'string',
    choices: ['debug', 'info', 'warn', 'error', 'silent'],
    env: ['ATOLL_LOG_LEVEL'],
    purpose: 'least severity that is logged; warn unless given',
  },
  'log-format': {
    type: 'string',
    choices: ['text', 'json'],
    env: ['ATOLL_LOG_FORMAT'],
    purpose: 'for people or for machines',
  },
} as const satisfies Flags

export const command = defineCommand({
  examples: [
    { line: 'atoll agent --dev', says: 'try it out: one server, HTTP on 8500, nothing kept' },
    { line: 'atoll agent --server --dc eu-1 --data-dir /var/lib/atoll', says: 'the first server of a datacenter' },
    {
      line: 'atoll agent --server --dc us-1 --data-dir /var/lib/atoll --bind 0.0.0.0 --advertise gw.us-1.example.com --join gw.eu-1.example.com:8300',
      says: 'another datacenter for the same mesh',
    },
    { line: 'atoll agent --dc eu-1 --data-dir /var/lib/atoll --join 10.0.0.7:8300', says: 'a client beside workloads' },
    {
      line: 'atoll agent --server --dc eu-1 --data-dir /var/lib/atoll --store etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 --join 10.0.0.8:8300',
      says: 'one of several servers on an etcd cluster',
    },
  ],
  flags,
  notes: [
    'Runs until SIGINT or SIGTERM, then ends in good order; a second signal ends it at once. "atoll leave" also deregisters it.',
    'Every flag has an environment variable; the configuration file has the same fields, nested as {"datacenter": "eu-1", "http": {"port": 8500}, "federation": {"join": []}}.',
  ],
  local: true,
  async run(context) {
    const file = context.flags.config === undefined ? {} : await readConfig(context.flags.config, context)
    const input = await completed(merge(file, configFromFlags(context)), context.note)
    // From here on, so that a signal while it starts ends it in good order too.
    const end = listenForEnd(context.io.signal)
    try {
      // Loaded only here: the other commands never pay for it.
      const { startNode } = await import('../node.ts')
      const node = await startNode(input)
      announce(context, node)
      await Promise.race([end.told, node.ended])
      await node.stop()
    } finally {
      end.close()
    }
  },
})

type Tree = { readonly [key: string]: unknown }

/** With what was left out. What the schema refuses is a mistake of who called: it never comes to start a node. */
async function completed(given: Tree, note: (line: string) => void): Promise<Tree> {
  const { parseConfig } = await import('../config.ts')
  const saysWhere = given.dev === true || given.dataDirectory !== undefined
  const parse = () => {
    try {
      return parseConfig(saysWhere ? given : { ...given, dataDirectory: '.' })
    } catch (error) {
      throw new UsageError((error as Error).message, 'agent')
    }
  }
  const dataDirectory = defaultDataDirectory(parse().datacenter)
  return withFreePorts(saysWhere ? given : { ...given, dataDirectory }, note)
}

/** Only what was given, in the shape of the configuration's schema. */
export function configFromFlags({ flags: values, given }: Pick<Context<typeof flags>, 'flags' | 'given'>): Tree {
  const take = (fields: Readonly<Record<string, keyof typeof flags>>): Tree =>
    Object.fromEntries(
      Object.entries(fields)
        .filter(([, flag]) => given.has(flag))
        .map(([field, flag]) => [field, values[flag]]),
    )
  const wan = values['wan-address']
  const tls = take({ ca: 'store-ca', cert: 'store-cert', key: 'store-key', serverName: 'store-server-name' })
  const store = take({ url: 'store', user: 'store-user', password: 'store-password' })
  const tree = {
    ...take({
      dev: 'dev',
      server: 'server',
      datacenter: 'dc',
      node: 'node',
      address: 'address',
      dataDirectory: 'data-dir',
      nodeMeta: 'node-meta',
      preset: 'preset',
    }),
    taggedAddresses: wan === undefined ? {} : { wan },
    http: take({ host: 'http-host', port: 'http-port' }),
    dns: take({ host: 'dns-host', port: 'dns-port', domains: 'domain', recursors: 'recursor' }),
    federation: take({
      host: 'bind',
      port: 'port',
      advertise: 'advertise',
      join: 'join',
      mesh: 'mesh',
      flatNetwork: 'flat-network',
      failover: 'failover',
    }),
    store: Object.keys(tls).length > 0 ? { ...store, tls } : store,
    log: take({ level: 'log-level', format: 'log-format' }),
  }
  return Object.fromEntries(Object.entries(tree).filter(([, value]) => !isTree(value) || Object.keys(value).length > 0))
}

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value)

/** `over` wins, field by field. */
export function merge(under: Tree, over: Tree): Tree {
  const merged: Record<string, unknown> = { ...under }
  for (const [key, value] of Object.entries(over)) {
    const below = Object.hasOwn(under, key) ? under[key] : undefined
    merged[key] = isTree(below) && isTree(value) ? merge(below, value) : value
  }
  return merged
}

async function readConfig(path: string, { io }: Context<typeof flags>): Promise<Tree> {
  const text = new TextDecoder().decode(await readInput(path, io))
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw new UsageError(`${path} is no JSON: ${(error as Error).message}`, 'agent')
  }
  if (!isTree(parsed)) throw new UsageError(`${path}: expected an object, like {"datacenter": "eu-1"}`, 'agent')
  return parsed
}

function announce(
  { json, print, printJson }: Context<typeof flags>,
  { node, datacenter, httpAddress, dns, addresses }: RunningNode,
): void {
  const dnsAddress = dns && `${dns.host.includes(':') ? `[${dns.host}]` : dns.host}:${dns.port}`
  if (json) {
    const shown = { Node: node, Datacenter: datacenter, HTTP: httpAddress, DNS: dnsAddress, Addresses: addresses }
    printJson(shown, { stream: true })
    return
  }
  print(`${node} of ${datacenter} is ready`)
  print(`  HTTP    ${httpAddress}`)
  if (dnsAddress !== undefined) print(`  DNS     ${dnsAddress}`)
  for (const address of addresses) print(`  libp2p  ${address}`)
}

/** The first signal ends it in good order; the second of its kind finds no handler any more and ends the process. */
function listenForEnd(signal: AbortSignal | undefined): { readonly told: Promise<void>; close(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  const end = () => resolve()
  process.once('SIGINT', end)
  process.once('SIGTERM', end)
  if (signal?.aborted) end()
  signal?.addEventListener('abort', end)
  return {
    told: promise,
    close() {
      process.off('SIGINT', end)
      process.off('SIGTERM', end)
      signal?.removeEventListener('abort', end)
    },
  }
}
