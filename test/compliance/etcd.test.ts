import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { openEtcd } from '../../src/store/etcd/etcd.ts'
import type { Store } from '../../src/store/store.ts'
import { type EtcdCluster, findEtcd, startEtcd, WITHOUT_ETCD } from '../support/etcd.ts'
import { type OpenStore, storeCompliance } from './store.ts'

const { clock, random } = await currentRuntime()

if (findEtcd()) {
  let etcd: EtcdCluster
  let stores = 0
  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterAll(() => etcd?.destroy())

  storeCompliance('etcd', async (): Promise<OpenStore> => {
    const options = { members: etcd.addresses, prefix: `atoll/${++stores}/`, owner: 'eu-1', clock, random }
    let current: Store = await openEtcd(options)
    return {
      store: current,
      async reopen() {
        await current.close()
        current = await openEtcd(options)
        return current
      },
      destroy: () => current.close(),
    }
  })
} else {
  describe('etcd', () => {
    test.skip(WITHOUT_ETCD, () => expect.unreachable())
  })
}
