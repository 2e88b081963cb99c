/**
 * What the contract in `src/store/store.ts` promises, clause by clause: every driver passes it.
 * Revisions are only compared with each other: others may write to the same distributed store.
 */
import { describe } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import { leaseCompliance } from './store-leases.ts'
import { lifeCompliance } from './store-life.ts'
import { propertyCompliance } from './store-properties.ts'
import { rangeCompliance } from './store-range.ts'
import { txnCompliance } from './store-txn.ts'
import { watchCompliance } from './store-watch.ts'

export interface OpenStore {
  readonly store: Store
  /** Closes the store and opens it again, with what it held. */
  reopen(): Promise<Store>
  /** Closes whatever is open and removes what it held. */
  destroy(): Promise<void>
}

export type Opener = () => Promise<OpenStore>

export function storeCompliance(name: string, open: Opener): void {
  describe(name, () => {
    txnCompliance(open)
    rangeCompliance(open)
    watchCompliance(open)
    leaseCompliance(open)
    lifeCompliance(open)
    propertyCompliance(open)
  })
}
