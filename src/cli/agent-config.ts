/** One configuration for a node out of Consul's files, Atoll's own file, the environment and flags; each wins over those before. */
import { networkInterfaces } from 'node:os'
import { type Interface, joinAddress } from '../consul-config/addresses.ts'
import { type FileDefinition, translate } from '../consul-config/translate.ts'
import type { flags } from './agent-flags.ts'
import { type Context, UsageError } from './command.ts'
import { parsedHcl, readConsulFiles } from './consul-files.ts'
import { fromConsulFlags } from './consul-flags.ts'
import { defaultDataDirectory, withFreePorts } from './defaults.ts'
import { readInput } from './input.ts'

export type Tree = { readonly [key: string]: unknown }
type AgentContext = Pick<Context<typeof flags>, 'flags' | 'given' | 'io'>

export interface Given {
  /** In the shape of the configuration's schema; what was said only. */
  readonly input: Tree
  readonly definitions: readonly FileDefinition[]
  /** What was left out, a line each. */
  readonly warnings: readonly string[]
}

/** Throws UsageError for what is wrong, naming where. */
export async function readGiven(context: AgentContext): Promise<Given> {
  const { flags: values, given, io } = context
  const files = await readConsulFiles(values['config-file'], io, values['config-format'])
  const pieces = values.hcl.map((text, i) => ({ name: `--hcl (${i + 1})`, value: parsedHcl(`--hcl (${i + 1})`, text) }))
  const sources = [...files, ...pieces, { name: 'flags', value: fromConsulFlags(values, given) }]
  const own = values.config === undefined ? {} : await readOwnFile(values.config, io)
  const { input, definitions, warnings } = translated(sources)
  const merged = merge(merge(input, own), configFromFlags(context))
  return {
    input: withAllJoins(merged, [input, own, configFromFlags(context)]),
    definitions,
    warnings,
  }
}

function translated(sources: Parameters<typeof translate>[0]): ReturnType<typeof translate> {
  try {
    return translate(sources, interfaces)
  } catch (error) {
    throw new UsageError((error as Error).message, 'agent')
  }
}

const interfaces = (): Interface[] =>
  Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    (addresses ?? []).map(({ address, family, internal }) => ({ name, address, family, internal })),
  )

/** Nodes to join add up, as in Consul: files name some, a unit another. */
function withAllJoins(merged: Tree, parts: readonly Tree[]): Tree {
  const joins = parts.flatMap((part) => (part.federation as { join?: readonly string[] } | undefined)?.join ?? [])
  return joins.length === 0 ? merged : merge(merged, { federation: { join: [...new Set(joins)] } })
}

/** Paths of what two configurations say otherwise. */
export function differences(a: Tree, b: Tree, prefix = ''): string[] {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...keys].flatMap((key) => {
    const [x, y] = [a[key], b[key]]
    if (isTree(x) && isTree(y)) return differences(x, y, `${prefix}${key}.`)
    return JSON.stringify(x) === JSON.stringify(y) ? [] : [prefix + key]
  })
}

/** With what was left out. What the schema refuses is a mistake of who called: it never comes to start a node. */
export async function completed(given: Tree, note: (line: string) => void): Promise<Tree> {
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
export function configFromFlags({ flags: values, given }: Pick<AgentContext, 'flags' | 'given'>): Tree {
  const take = (fields: Readonly<Record<string, keyof typeof flags>>): Tree =>
    Object.fromEntries(
      Object.entries(fields)
        .filter(([, flag]) => given.has(flag))
        .map(([field, flag]) => [field, values[flag]]),
    )
  const wan = values['wan-address']
  const tls = take({ ca: 'store-ca', cert: 'store-cert', key: 'store-key', serverName: 'store-server-name' })
  const managed = take({
    servers: 'servers',
    etcdBin: 'etcd-bin',
    clientPort: 'etcd-client-port',
    peerPort: 'etcd-peer-port',
  })
  const store = {
    ...take({ url: 'store', user: 'store-user', password: 'store-password' }),
    ...(Object.keys(managed).length > 0 && { managed }),
  }
  const withoutDns = values['dns-port'] === -1
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
    dns: {
      ...take({ host: 'dns-host', domains: 'domain', recursors: 'recursor' }),
      ...(withoutDns ? { enabled: false } : take({ port: 'dns-port' })),
    },
    federation: {
      ...take({
        host: 'bind',
        port: 'port',
        advertise: 'advertise',
        mesh: 'mesh',
        flatNetwork: 'flat-network',
        failover: 'failover',
      }),
      ...(given.has('join') ? { join: joined(values.join, values.port) } : {}),
    },
    store: Object.keys(tls).length > 0 ? { ...store, tls } : store,
    log: take({ level: 'log-level', format: 'log-format' }),
  }
  return Object.fromEntries(Object.entries(tree).filter(([, value]) => !isTree(value) || Object.keys(value).length > 0))
}

const joined = (addresses: readonly string[], ownPort: number | undefined): string[] =>
  addresses.map((text) => {
    const address = joinAddress(text, ownPort)
    if (address !== undefined) return address
    throw new UsageError(`--join: "${text}": there is no cloud auto-join; write addresses`, 'agent')
  })

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

async function readOwnFile(path: string, io: AgentContext['io']): Promise<Tree> {
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
