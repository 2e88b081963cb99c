/** One place that turns the configuration of a store into a store. */
import { AtollError } from '../model/errors.ts'
import type { Clock, Disk, Logger, Random } from '../runtime/ports.ts'
import { parseStoreUrl, type StoreAddress } from './address.ts'
import type { EtcdOptions, EtcdTls } from './etcd/connect.ts'
import type { ManagedEnd } from './managed/managed.ts'
import type { MigrationSource, MigrationTarget } from './migration.ts'
import type { Store } from './store.ts'

export interface StoreSettings {
  /** See `parseStoreUrl`. */
  readonly url: string
  readonly user?: string
  readonly password?: string
  /** Paths of PEM files. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly serverName?: string }
  /** Of the embedded store. */
  readonly historyRevisions: number
}

export interface OpenStoreOptions {
  readonly settings: StoreSettings
  readonly datacenter: string
  /** Folder of the embedded store; undefined keeps nothing. */
  readonly directory: string | undefined
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly logger: Logger
  /** The members of this server's own etcd, which run; needed where `settings.url` is `etcd:managed`. */
  readonly managed?: ManagedEnd | undefined
}

/** Whether several servers of a datacenter may use the store at once. */
export const isShared = ({ url }: Pick<StoreSettings, 'url'>): boolean => url !== 'embedded'

/** Rejects with StoreError, as the driver does, or with AtollError 'invalid' that names the field. */
export async function openStore(options: OpenStoreOptions): Promise<Store> {
  const { settings, datacenter } = options
  const address = parseStoreUrl(settings.url, datacenter)
  if (address.driver === 'embedded') return openInFolder(options)
  return address.driver === 'etcd' ? openOnEtcd(options, address) : openOnManaged(options, address.prefix)
}

async function openOnManaged({ managed, datacenter, clock, random, logger }: OpenStoreOptions, prefix: string) {
  if (!managed) throw new AtollError('internal', 'the members of the managed etcd were not started')
  const { openEtcd } = await import('./etcd/etcd.ts')
  return openEtcd({ ...managed, prefix, owner: datacenter, clock, random, logger })
}

// Each driver is loaded only where it is used: the other one's libraries cost memory and time.
async function openInFolder({ directory, settings, clock, random, logger }: OpenStoreOptions): Promise<Store> {
  const { openEmbedded } = await import('./embedded/embedded.ts')
  const limits = { historyRevisions: settings.historyRevisions }
  return openEmbedded({ path: directory ?? ':memory:', clock, random, logger, limits })
}

async function openOnEtcd(options: OpenStoreOptions, address: EtcdAddress): Promise<Store> {
  const { openEtcd } = await import('./etcd/etcd.ts')
  return openEtcd(await etcdOptions(options, address))
}

type EtcdAddress = Extract<StoreAddress, { driver: 'etcd' }>
type EndOptions = Omit<OpenStoreOptions, 'directory'>

async function etcdOptions(
  { settings, datacenter, clock, random, disk, logger }: EndOptions,
  { members, prefix, tls }: EtcdAddress,
): Promise<EtcdOptions> {
  const { user, password = '' } = settings
  const certificates = await readTls(settings, disk)
  return {
    members,
    prefix,
    owner: datacenter,
    ...((tls || certificates) && { tls: certificates ?? {} }),
    ...(user !== undefined && { login: { user, password } }),
    clock,
    random,
    logger,
  }
}

/** Where one end of a migration is: a folder, or as `store.url` says it. */
export type MigrationEnd = { readonly directory: string } | { readonly url: string }

/** Rejects as `openStore`, and where servers use the store. */
export async function openMigrationSource(end: MigrationEnd, options: EndOptions): Promise<MigrationSource> {
  if ('directory' in end) {
    const { openEmbeddedSource } = await import('./embedded/migration.ts')
    return openEmbeddedSource({ path: end.directory, random: options.random })
  }
  const { openEtcdSource } = await import('./etcd/migration-source.ts')
  return openEtcdSource(await etcdOptions(options, etcdAddressOf(end.url, options)))
}

/** Rejects as `openStore`, and where servers use the store. Nothing is changed before `begin`. */
export async function openMigrationTarget(end: MigrationEnd, options: EndOptions): Promise<MigrationTarget> {
  if ('directory' in end) {
    const { openEmbeddedTarget } = await import('./embedded/migration.ts')
    return openEmbeddedTarget({ path: end.directory, random: options.random })
  }
  const { openEtcdTarget } = await import('./etcd/migration-target.ts')
  return openEtcdTarget(await etcdOptions(options, etcdAddressOf(end.url, options)))
}

function etcdAddressOf(url: string, { datacenter }: EndOptions): EtcdAddress {
  const address = parseStoreUrl(url, datacenter)
  if (address.driver === 'etcd') return address
  throw new AtollError('invalid', `"${url}" is no etcd that one can migrate from or to`, { field: 'store.url' })
}

async function readTls({ tls }: StoreSettings, disk: Disk): Promise<EtcdTls | undefined> {
  const { ca, cert, key, serverName } = tls
  if ([ca, cert, key, serverName].every((given) => given === undefined)) return undefined
  if ((cert === undefined) !== (key === undefined)) {
    throw new AtollError('invalid', 'store.tls: a client certificate takes both cert and key', { field: 'store.tls' })
  }
  const read = async (field: string, path: string | undefined): Promise<Uint8Array | undefined> => {
    if (path === undefined) return undefined
    const pem = await disk.read(path)
    if (pem) return pem
    throw new AtollError('invalid', `store.tls.${field}: there is no file ${path}`, { field: `store.tls.${field}` })
  }
  return { ca: await read('ca', ca), cert: await read('cert', cert), key: await read('key', key), serverName }
}
