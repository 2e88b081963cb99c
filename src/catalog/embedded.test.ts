import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../runtime/clock.ts'
import { systemRandom } from '../runtime/random.ts'
import { openEmbedded } from '../store/embedded/embedded.ts'
import { openCatalog } from './open.ts'
import { checkEntry, kvDelete, kvPut, nodeEntry, register, serviceEntry } from './testing/entries.ts'
import { silent } from './testing/harness.ts'

let path: string
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'atoll-catalog-'))
})
afterEach(() => rm(path, { recursive: true, force: true }))

const common = { clock: systemClock, random: systemRandom, logger: silent }
const open = async () => {
  const store = await openEmbedded({ path, ...common })
  const catalog = await openCatalog({ store, datacenter: 'eu-1', ...common })
  return {
    store,
    catalog,
    async close() {
      await catalog.close()
      await store.close()
    },
  }
}

it('keeps a catalog on an embedded store over a restart, indexes and all', async () => {
  const first = await open()
  const web = (i: number, status: 'passing' | 'critical') =>
    register(
      nodeEntry(`n${i}`),
      [serviceEntry(`n${i}`, 'web', { tags: ['v1'] })],
      [checkEntry(`n${i}`, 'c', { serviceId: 'web', status, output: 'o' })],
    )
  await Promise.all(Array.from({ length: 50 }, (_, i) => first.catalog.execute(web(i, 'passing'))))
  expect(first.catalog.barrier()).toBeUndefined()
  await Promise.all(Array.from({ length: 50 }, (_, i) => first.catalog.execute(web(i, 'critical'))))
  await Promise.all(Array.from({ length: 20 }, (_, i) => first.catalog.execute(kvPut('hot', String(i)))))
  await first.catalog.execute(kvPut('dir/a', 'x'))
  const deleted = await first.catalog.execute(kvDelete('dir/', { recurse: true }), { requestId: 'r1' })
  await first.catalog.execute({ kind: 'deregister', node: 'n7' })
  const before = first.catalog.view
  expect(before.failover('web')).toBeDefined()
  await first.close()

  const second = await open()
  const after = second.catalog.view
  expect(after.index).toBe(before.index)
  expect(after.instances('web')).toEqual(before.instances('web'))
  expect(after.instances('web')).toHaveLength(49)
  expect(after.kvUnder('').map(({ key, modifyIndex }) => [key, modifyIndex])).toEqual(
    before.kvUnder('').map(({ key, modifyIndex }) => [key, modifyIndex]),
  )
  expect(after.failover('web')).toEqual(before.failover('web'))
  for (const ref of [
    { kind: 'service', service: 'web' },
    { kind: 'nodes' },
    { kind: 'checks' },
    { kind: 'kv', key: 'dir/a' },
  ] as const) {
    expect(after.topic(ref).index).toBe(before.topic(ref).index)
  }
  expect(await second.catalog.execute(kvDelete('dir/', { recurse: true }), { requestId: 'r1' })).toEqual(deleted)
  await second.close()
})
