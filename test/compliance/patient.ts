/**
 * A store whose callers have patience, for the suite while members of etcd fail: what was refused as 'unavailable' was not done, and
 * is asked again. An unknown outcome is nothing that a wrapper could make good: it is passed on, and the whole test is to be
 * run again on a fresh store (`UNKNOWN`, for the runner).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Store, StoreError } from '../../src/store/store.ts'

const PATIENCE_MS = 30_000
const PAUSE_MS = 50

export async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (const untilMs = performance.now() + PATIENCE_MS; ; await sleep(PAUSE_MS)) {
    try {
      return await ask()
    } catch (error) {
      const refused = error instanceof StoreError && error.code === 'unavailable'
      if (!refused || performance.now() > untilMs) throw error
    }
  }
}

export function patient(store: Store): Store {
  return {
    get epoch() {
      return store.epoch
    },
    txn: (txn) => patiently(() => store.txn(txn)),
    range: (from, to, options) => patiently(() => store.range(from, to, options)),
    watch: (from, to, since, handler) => store.watch(from, to, since, handler),
    barrier: () => patiently(async () => store.barrier()),
    grantLease: (ttlMs) => patiently(() => store.grantLease(ttlMs)),
    renewLease: (id) => patiently(() => store.renewLease(id)),
    revokeLease: (id) => patiently(() => store.revokeLease(id)),
    raiseGeneration: (generation) => patiently(() => store.raiseGeneration(generation)),
    compact: (revision) => patiently(() => store.compact(revision)),
    status: () => store.status(),
    close: () => store.close(),
  }
}

/** For vitest's `retry`: run the test again where nobody knows whether a write was done. */
export const UNKNOWN = {
  count: 3,
  condition: (error: unknown): boolean => (error as { readonly code?: unknown }).code === 'unknown-outcome',
}
