/** Tables of the other datacenters, fed by the federation. */
import { Tables } from '../catalog/tables.ts'
import type { CatalogView } from '../catalog/view.ts'
import type { ReplicaSink } from '../federation/federation.ts'
import type { Logger } from '../runtime/ports.ts'

export class Replicas {
  readonly #tables = new Map<string, Tables>()
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** The same object for as long as the node runs; undefined for a DC that sent nothing yet. */
  view(datacenter: string): CatalogView | undefined {
    return this.#tables.get(datacenter)
  }

  sinkFor(datacenter: string): ReplicaSink {
    const tables = this.#tables.get(datacenter) ?? this.#open(datacenter)
    return {
      apply: (revision, changes) => tables.applyExported(revision, changes),
      reset: (epoch, revision, entries) => tables.resetExported(revision, entries, epoch),
    }
  }

  #open(datacenter: string): Tables {
    const tables = new Tables({
      datacenter,
      epoch: { generation: 0, random: '' },
      onUnreadable: (key, error) =>
        this.#logger.error({ datacenter, key, error }, 'an entry of a replica cannot be read'),
    })
    this.#tables.set(datacenter, tables)
    return tables
  }
}
