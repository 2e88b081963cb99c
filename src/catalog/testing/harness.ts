import type { Epoch } from '../../model/epoch.ts'
import type { Logger } from '../../runtime/ports.ts'
import { SeededRandom, VirtualClock } from '../../runtime/virtual.ts'
import { type OpenCatalog, openCatalog } from '../open.ts'
import { Tables } from '../tables.ts'
import { MemoryStore } from './memory-store.ts'

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

/** A logger whose errors a test can count. */
export function recording(): { logger: Logger; errors: unknown[] } {
  const errors: unknown[] = []
  const logger: Logger = { ...silent, error: (fields) => void errors.push(fields), child: () => logger }
  return { logger, errors }
}

export interface Harness {
  readonly clock: VirtualClock
  readonly random: SeededRandom
  readonly store: MemoryStore
  readonly catalog: OpenCatalog
  /** Tables made anew from all that is in the store. */
  reloaded(): Promise<Tables>
  close(): Promise<void>
}

export async function openHarness(
  options: { remote?: boolean; epoch?: Epoch; store?: MemoryStore } = {},
): Promise<Harness> {
  const clock = new VirtualClock()
  const random = new SeededRandom(1)
  const store = options.store ?? new MemoryStore({ clock, ...options })
  const catalog = await openCatalog({ store, datacenter: 'eu-1', clock, random, logger: silent })
  return {
    clock,
    random,
    store,
    catalog,
    async reloaded() {
      const { revision, kvs } = await store.range('', '')
      const tables = new Tables({ datacenter: 'eu-1', epoch: store.epoch })
      tables.load(revision, kvs)
      return tables
    },
    async close() {
      await catalog.close()
      await store.close()
    },
  }
}
