import { afterEach, describe, expect, it } from 'vitest'
import { SeededRandom, VirtualClock } from '../runtime/virtual.ts'
import { StoreError } from '../store/store.ts'
import { openCatalog } from './open.ts'
import { kvDelete, kvPut, nodeEntry, register, serviceEntry } from './testing/entries.ts'
import { type Harness, openHarness, recording } from './testing/harness.ts'
import { MemoryStore } from './testing/memory-store.ts'

let h: Harness
afterEach(() => h?.close())

describe('openCatalog', () => {
  it('reads what is there, in pages, and follows', async () => {
    h = await openHarness()
    for (let i = 0; i < 20; i++) await h.catalog.execute(kvPut(`k${i}`, 'v'))
    const range = h.store.range.bind(h.store)
    h.store.range = (from, to, options) => range(from, to, { ...options, limit: 7 })
    const again = await openHarness({ store: h.store })
    expect(again.catalog.view.kvUnder('')).toEqual(h.catalog.view.kvUnder(''))
    expect(again.catalog.view.index).toBe(h.catalog.view.index)
    await h.catalog.execute(kvPut('new', 'v'))
    expect(again.catalog.view.kv('new')).toEqual(h.catalog.view.kv('new'))
    await again.catalog.close()
  })

  it('reads anew when history is gone, and wakes for what it missed', async () => {
    h = await openHarness()
    await h.catalog.execute(register(nodeEntry('n'), [serviceEntry('n', 'web')]))
    await h.catalog.execute(kvPut('a', '1'))
    const { view } = h.catalog
    const woken: string[] = []
    const rows = view.instances('web')
    view.topic({ kind: 'kv', key: 'a' }).onceChanged(() => woken.push('a'))
    view.topic({ kind: 'service', service: 'web' }).onceChanged(() => woken.push('web'))
    view.topic({ kind: 'kv-prefix', prefix: '' }).onceChanged(() => woken.push('prefix'))
    const range = h.store.range.bind(h.store)
    let failures = 2
    h.store.range = (...args) =>
      failures-- > 0 ? Promise.reject(new StoreError('unavailable', 'no majority')) : range(...args)
    h.store.breakWatches()
    await h.store.txn({ then: [{ delete: 'k/a' }, { put: 't/kv', value: new Uint8Array([0x91, 1]) }] })
    await h.clock.advance(2000)
    expect(view.kv('a')).toBeUndefined()
    expect(woken.sort()).toEqual(['a', 'prefix'])
    expect(view.instances('web')).toBe(rows)
    expect(view.topic({ kind: 'kv', key: 'a' }).index).toBe(h.store.revision)
    await h.catalog.execute(kvPut('b', '1'))
    expect(view.kv('b')).toBeDefined()
  })

  it('has no barrier to wait for on an embedded store, and joins those of a distributed one', async () => {
    h = await openHarness()
    expect(h.catalog.barrier()).toBeUndefined()
    await h.close()
    h = await openHarness({ remote: true })
    const barrier = h.store.barrier.bind(h.store)
    let shared = barrier()
    h.store.barrier = () => shared
    await h.store.txn({ then: [{ put: 'k/x', value: new Uint8Array([0x95, 1, 0, 0, 0xa0, 0xc4, 0]) }] })
    const early = h.catalog.barrier()
    expect(h.catalog.barrier()).toBe(early)
    shared = barrier()
    const late = h.catalog.barrier()
    expect(late).not.toBe(early)
    expect(h.catalog.view.kv('x')).toBeUndefined()
    await late
    expect(h.catalog.view.kv('x')).toBeDefined()
    await early
  })

  it('never refuses by old tables', async () => {
    h = await openHarness({ remote: true })
    const other = await openCatalog({ ...common(), store: h.store })
    const { index } = await other.execute(kvPut('a', '1', { cas: 0 }))
    expect(await h.catalog.execute(kvPut('a', '2', { cas: index }))).toMatchObject({ applied: true })
    expect(await other.execute(kvDelete('a', { cas: index }))).toMatchObject({ applied: false })
    await other.close()
  })

  it('fails for those who wait for a store without a majority, and for nobody else', async () => {
    h = await openHarness({ remote: true })
    const failing = Promise.reject(new StoreError('unavailable', 'no majority'))
    h.store.barrier = () => failing
    // Nobody waits for this one: it must not end the process.
    void h.catalog.barrier()
    const numbered = { kind: 'kv-sequence', prefix: 'q/', value: new Uint8Array(1), flags: 0n, session: '' } as const
    expect(await h.catalog.execute(numbered)).toMatchObject({ applied: true })
    await new Promise((resolve) => setImmediate(resolve))
    await expect(h.catalog.barrier()).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('gives up on a store that does not deliver', async () => {
    h = await openHarness({ remote: true })
    h.store.barrier = () => Promise.resolve(1_000_000)
    const waiting = expect(h.catalog.barrier()).rejects.toMatchObject({ code: 'unavailable' })
    await h.clock.advance(11_000)
    await waiting
  })

  it('says that it cannot answer for a closed store', async () => {
    h = await openHarness()
    await h.store.close()
    await expect(h.catalog.barrier()).rejects.toMatchObject({ code: 'unavailable' })
    await expect(h.catalog.execute(kvPut('a', '1'))).rejects.toMatchObject({ code: 'unavailable' })
    await expect(openCatalog({ ...common(), store: h.store })).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('goes on to answer when the store failed, as long as the tables hold all that was acknowledged', async () => {
    h = await openHarness()
    const { logger, errors } = recording()
    let fail = (_error: Error): void => {}
    const watch = h.store.watch.bind(h.store)
    h.store.watch = (from, to, since, handler) => {
      fail = (error) => handler.onEnd(error)
      return watch(from, to, since, handler)
    }
    const catalog = await openCatalog({ ...common(), store: h.store, logger })
    await catalog.execute(kvPut('a', '1'))
    fail(new StoreError('failed', 'the disk is full'))
    expect(catalog.barrier()).toBeUndefined()
    expect(catalog.view.kv('a')).toBeDefined()
    await expect(catalog.execute(kvPut('b', '1'))).rejects.toMatchObject({ code: 'unavailable' })
    expect(errors).toHaveLength(1)
    h.store.barrier = () => h.store.revision + 1
    await expect(catalog.barrier()).rejects.toMatchObject({ code: 'unavailable' })
    await catalog.close()
  })

  it.each([
    ['disk-full', 'unavailable'],
    ['overloaded', 'overloaded'],
    ['unknown-outcome', 'unknown-outcome'],
    ['invalid', 'invalid'],
  ] as const)('maps a store that is %s to %s', async (from, to) => {
    h = await openHarness()
    h.store.failWith = new StoreError(from, 'why')
    await expect(h.catalog.execute(kvPut('a', '1'))).rejects.toMatchObject({ code: to, message: 'why' })
    h.store.failWith = undefined
    expect(await h.catalog.execute(kvPut('a', '1'))).toMatchObject({ applied: true })
  })

  it('leaves out what cannot be read, and says so', async () => {
    h = await openHarness()
    const { logger, errors } = recording()
    const catalog = await openCatalog({ ...common(), store: h.store, logger })
    await h.store.txn({
      then: [
        { put: 'e/n/bad', value: new Uint8Array([0xc1]) },
        { put: 'e/future/x', value: new Uint8Array(1) },
      ],
    })
    expect(errors).toHaveLength(1)
    await catalog.execute(register(nodeEntry('good')))
    expect(catalog.view.nodes()).toHaveLength(1)
    await catalog.close()
  })

  it('raises every index with the generation', async () => {
    h = await openHarness()
    await h.catalog.execute(register(nodeEntry('n'), [serviceEntry('n', 'web')]))
    await h.catalog.execute(kvPut('a', '1'))
    const { view } = h.catalog
    let woken = 0
    const topic = view.topic({ kind: 'service', service: 'web' })
    topic.onceChanged(() => woken++)
    const { index } = topic
    expect(await h.catalog.raiseGeneration(2)).toMatchObject({ generation: 2 })
    expect(woken).toBe(1)
    expect(topic.index).toBe(2 * 2 ** 40 + index)
    expect(view.index).toBe(2 * 2 ** 40 + h.store.revision)
    const put = await h.catalog.execute(kvPut('a', '2', { cas: view.kv('a')!.modifyIndex }))
    expect(put).toEqual({ applied: true, index: 2 * 2 ** 40 + h.store.revision })
    expect(await h.catalog.raiseGeneration(1)).toMatchObject({ generation: 2 })
  })

  it('finishes what is under way before it closes', async () => {
    h = await openHarness()
    const pending = h.catalog.execute(kvPut('a', '1'))
    const closing = h.catalog.close()
    expect(await pending).toMatchObject({ applied: true })
    await closing
    await expect(h.catalog.execute(kvPut('a', '1'))).rejects.toMatchObject({ code: 'unavailable' })
    await h.catalog.close()
  })
})

const common = () => ({
  datacenter: 'eu-1',
  clock: new VirtualClock(),
  random: new SeededRandom(2),
  logger: recording().logger,
  store: new MemoryStore({ clock: new VirtualClock() }),
})
