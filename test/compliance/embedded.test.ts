import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { openEmbedded } from '../../src/store/embedded/embedded.ts'
import type { Store } from '../../src/store/store.ts'
import { type OpenStore, storeCompliance } from './store.ts'

const { clock, random } = await currentRuntime()

async function open(): Promise<OpenStore> {
  const path = await mkdtemp(join(tmpdir(), 'atoll-store-'))
  let current: Store = await openEmbedded({ path, clock, random })
  return {
    store: current,
    async reopen() {
      await current.close()
      current = await openEmbedded({ path, clock, random })
      return current
    },
    async destroy() {
      await current.close()
      await rm(path, { recursive: true })
    },
  }
}

storeCompliance('embedded', open)
