/** What only servers have: the store, the catalog over it, and the duties of the DC's leader. */
import type { Catalog } from '../catalog/catalog.ts'
import { type Duties, startDuties } from '../catalog/duties/duties.ts'
import { createLiveness } from '../catalog/duties/liveness.ts'
import { type OpenCatalog, openCatalog } from '../catalog/open.ts'
import type { Config } from '../config.ts'
import { AtollError } from '../model/errors.ts'
import type { AgentSelf } from '../resolver/agent-door.ts'
import type { Clock, Disk, Logger, Random } from '../runtime/ports.ts'
import type { ManagedEnd } from '../store/managed/managed.ts'
import { openStore } from '../store/open.ts'
import { type Store, StoreError } from '../store/store.ts'

export interface ServerSide {
  readonly store: Store
  readonly catalog: OpenCatalog
}

export interface ServerSideOptions {
  readonly config: Config
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly logger: Logger
  /** Of `etcd:managed`. */
  readonly managed?: ManagedEnd | undefined
}

/**
 * Opens the store and the catalog. Rejects with 'invalid' when another process has the data directory or another DC the prefix, with
 * 'unavailable' when etcd cannot be reached.
 */
export async function openServerSide(options: ServerSideOptions): Promise<ServerSide> {
  const { config, clock, random, disk, logger } = options
  const store = await openStore({
    settings: config.store,
    datacenter: config.datacenter,
    directory: config.dataDirectory === undefined ? undefined : disk.join(config.dataDirectory, 'store'),
    clock,
    random,
    disk,
    logger: logger.child({ part: 'store' }),
    managed: options.managed,
  }).catch((error: unknown) => {
    throw error instanceof StoreError ? refusalOf(error) : error
  })
  try {
    const catalog = await openCatalog({
      store,
      datacenter: config.datacenter,
      clock,
      random,
      logger: logger.child({ part: 'catalog' }),
    })
    return { store, catalog }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** What a store that cannot be opened means to who starts a node. */
function refusalOf(error: StoreError): unknown {
  if (error.code === 'locked') {
    return new AtollError('invalid', `dataDirectory: ${error.message}`, { field: 'dataDirectory', cause: error })
  }
  if (error.code === 'unfinished') return new AtollError('invalid', `store.url: ${error.message}`, { cause: error })
  if (error.code === 'invalid') return new AtollError('invalid', error.message, { field: 'store.url', cause: error })
  if (error.code === 'unavailable')
    return new AtollError('unavailable', `store.url: ${error.message}`, { cause: error })
  return error
}

export { createLiveness, type Duties, startDuties }

/** The entry by which Consul's clients find servers: service `consul` on the server's node. */
export async function registerServer(catalog: Catalog, self: AgentSelf): Promise<void> {
  await catalog.execute({
    kind: 'register',
    keepNode: true,
    node: {
      id: self.nodeId,
      node: self.node,
      address: self.address,
      taggedAddresses: self.taggedAddresses,
      meta: self.meta,
      owner: 'agent',
    },
    services: [
      {
        node: self.node,
        id: 'consul',
        service: 'consul',
        kind: '',
        tags: [],
        address: '',
        taggedAddresses: null,
        meta: { version: self.version, atoll: 'server', runtime: self.runtime },
        port: self.ports.libp2p,
        socketPath: '',
        weights: { passing: 1, warning: 1 },
        enableTagOverride: false,
        proxy: null,
        connect: null,
        failover: false,
        owner: 'catalog',
      },
    ],
    checks: [],
  })
}
