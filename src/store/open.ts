/** One place that turns the configuration of a store into a store. */
import { AtollError } from '../model/errors.ts'
import type { Clock, Disk, Logger, Random } from '../runtime/ports.ts'
import { parseStoreUrl, type StoreAddress } from './address.ts'
import type { EtcdTls } from './etcd/etcd.ts'
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
}

/** Whether several servers of a datacenter may use the store at once. */
export const isShared = ({ url }: Pick<StoreSettings, 'url'>): boolean => url !== 'embedded'

/** Rejects with StoreError, as the driver does, or with AtollError 'invalid' that names the field. */
export async function openStore(options: OpenStoreOptions): Promise<Store> {
  const { settings, datacenter } = options
  const address = parseStoreUrl(settings.url, datacenter)
  return address.driver === 'embedded' ? openInFolder(options) : openOnEtcd(options, address)
}

// Each driver is loaded only where it is used: the other one's libraries cost memory and time.
async function openInFolder({ directory, settings, clock, random, logger }: OpenStoreOptions): Promise<Store> {
  const { openEmbedded } = await import('./embedded/embedded.ts')
  const limits = { historyRevisions: settings.historyRevisions }
  return openEmbedded({ path: directory ?? ':memory:', clock, random, logger, limits })
}

async function openOnEtcd(
  { settings, datacenter, clock, random, disk, logger }: OpenStoreOptions,
  { members, prefix, tls }: Extract<StoreAddress, { driver: 'etcd' }>,
): Promise<Store> {
  const { user, password = '' } = settings
  const certificates = await readTls(settings, disk)
  const { openEtcd } = await import('./etcd/etcd.ts')
  return openEtcd({
    members,
    prefix,
    owner: datacenter,
    ...((tls || certificates) && { tls: certificates ?? {} }),
    ...(user !== undefined && { login: { user, password } }),
    clock,
    random,
    logger,
  })
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
