/** Tables of the other datacenters, fed by the federation. */
import { ReplicaTables } from '../catalog/replica-tables.ts'
import type { CatalogView } from '../catalog/view.ts'
import type { ReplicaSink } from '../federation/federation.ts'
import type { Logger } from '../runtime/ports.ts'

export class Replicas {
  readonly #tables = new Map<string, ReplicaTables>()
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
      apply: (revision, changes) => tables.apply(revision, changes),
      repair: (revision, changes) => tables.apply(revision, changes),
      install: (epoch, revision, content) => tables.install(epoch, revision, content),
    }
  }

  #open(datacenter: string): ReplicaTables {
    const tables = new ReplicaTables({
      datacenter,
      onUnreadable: (key, error) =>
        this.#logger.error({ datacenter, key, error }, 'an entry of a replica cannot be read'),
    })
    this.#tables.set(datacenter, tables)
    return tables
  }
}
