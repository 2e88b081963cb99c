/** What only the servers of a DC itself can tell or do: the history of its keys, and its catalog as a whole. */
import type { Catalog, KvChanges, Snapshot } from '../catalog/catalog.ts'
import type { Federation } from '../federation/federation.ts'
import { AtollError } from '../model/errors.ts'
import { assertDatacenter } from '../model/names.ts'
import type { CommandOptions, FollowOptions, HomeDoor } from './mesh.ts'
import { changesMessageOf, changesOf } from './wire.ts'

/** A server answers at the latest after this. */
export const MAX_FOLLOW_WAIT_MS = 30_000
const MARGIN_MS = 5_000

export interface HomeOptions {
  readonly federation: Federation
  readonly catalog: Catalog | undefined
  readonly datacenter: string
}

export class Home implements HomeDoor {
  readonly #o: HomeOptions

  constructor(options: HomeOptions) {
    this.#o = options
    const { catalog, federation } = options
    if (!catalog) return
    federation.handle('mesh.kv-changes', async (payload, { peer, signal }) => {
      const { prefix, datacenter, ...rest } = changesMessageOf(payload)
      // One hop to this DC, and from a client of this DC on to another.
      if (datacenter !== options.datacenter && peer.datacenter !== options.datacenter) {
        throw new AtollError('forbidden', `datacenter: ${options.datacenter} passes on no questions of others`)
      }
      return this.kvChanges(prefix, { principal: { token: '' }, datacenter, ...rest, signal })
    })
  }

  async kvChanges(prefix: string, options: FollowOptions): Promise<KvChanges> {
    const { catalog, datacenter: own, federation } = this.#o
    const { datacenter = own, since, signal } = options
    const waitMs = Math.min(options.waitMs, MAX_FOLLOW_WAIT_MS)
    if (datacenter === own && catalog) {
      await catalog.barrier()
      return catalog.kvChanges(prefix, { since, waitMs, signal })
    }
    this.#requireKnown(datacenter)
    const to = catalog ? datacenter : own
    const message = { prefix, datacenter, since, waitMs }
    const deadlineMs = waitMs + MARGIN_MS
    return changesOf(to, await federation.call({ datacenter: to }, 'mesh.kv-changes', message, { deadlineMs, signal }))
  }

  async saveSnapshot(options: CommandOptions): Promise<Snapshot> {
    return this.#ownCatalog(options).save()
  }

  async restoreSnapshot(archive: Uint8Array, options: CommandOptions): Promise<void> {
    return this.#ownCatalog(options).restore(archive)
  }

  #ownCatalog({ datacenter = this.#o.datacenter }: CommandOptions): Catalog {
    const { catalog, datacenter: own } = this.#o
    if (catalog && datacenter === own) return catalog
    this.#requireKnown(datacenter)
    throw new AtollError(
      'unsupported',
      `snapshots are taken and restored at a server of ${datacenter} itself; ask one`,
      { field: 'dc' },
    )
  }

  #requireKnown(datacenter: string): void {
    const { catalog, datacenter: own, federation } = this.#o
    assertDatacenter(datacenter, 'dc')
    if (!catalog || datacenter === own || federation.remote(datacenter) !== undefined) return
    throw new AtollError('no-path', `No path to datacenter: "${datacenter}" was never heard of here`, { field: 'dc' })
  }
}
