import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { Command } from './catalog.ts'
import { kvDelete, kvLock, kvPut, nodeEntry, register, sessionCreate } from './testing/entries.ts'
import { type Harness, openHarness } from './testing/harness.ts'

let h: Harness
afterEach(() => h?.close())

const S = 'aaaaaaaa-0000-0000-0000-000000000001'
const sequence = (prefix: string, session = ''): Command => ({
  kind: 'kv-sequence',
  prefix,
  value: new Uint8Array(0),
  flags: 0n,
  session,
})

describe('sequential keys', () => {
  it('grow for ever: over writers at the same time, deletions, restarts, and keys that are there', async () => {
    h = await openHarness({ remote: true })
    const { catalog } = h
    const made = await Promise.all(Array.from({ length: 20 }, () => catalog.execute(sequence('q/'))))
    expect(made.map(({ key }) => key).sort()).toEqual(
      Array.from({ length: 20 }, (_, i) => `q/${String(i + 1).padStart(16, '0')}`),
    )
    await catalog.execute(kvDelete('q/', { recurse: true }))
    await catalog.execute(kvPut(`q/${'21'.padStart(16, '0')}`, 'by name'))
    expect((await catalog.execute(sequence('q/'))).key).toBe(`q/${'22'.padStart(16, '0')}`)
    expect((await catalog.execute(sequence('other-'))).key).toBe(`other-${'1'.padStart(16, '0')}`)
    expect((await h.reloaded()).sequences.get('q/')?.last).toBe(22)
  })

  it('are told the same when asked again under the same request id', async () => {
    h = await openHarness()
    const first = await h.catalog.execute(sequence('q/'), { requestId: 'r1' })
    expect(await h.catalog.execute(sequence('q/'), { requestId: 'r1' })).toEqual(first)
    expect(h.catalog.view.kvKeys('q/', '')).toEqual([first.key])
  })

  it('are ephemeral with a session that deletes', async () => {
    h = await openHarness()
    await h.catalog.execute(register(nodeEntry('n1')))
    await h.catalog.execute(sessionCreate(S, { behavior: 'delete' }))
    const { key } = await h.catalog.execute(sequence('q/', S))
    expect(h.catalog.view.kv(key!)).toMatchObject({ session: S, lockIndex: 1 })
    await h.catalog.execute({ kind: 'session-destroy', session: S })
    expect(h.catalog.view.kvKeys('q/', '')).toEqual([])
    await expect(h.catalog.execute(sequence('q/', S))).rejects.toThrow('invalid session')
  })
})

describe('changes of keys', () => {
  const next = (prefix: string, since: number | undefined, waitMs = 0) => {
    const asked = h.catalog.kvChanges(prefix, { waitMs, ...(since !== undefined && { since }) })
    return Promise.all([asked, h.clock.advance(waitMs)]).then(([changes]) => changes)
  }

  it('are all there are, in order, whole transactions, from any index on', async () => {
    h = await openHarness()
    const command = fc.oneof(
      fc
        .tuple(fc.constantFrom('a/1', 'a/2', 'b'), fc.string({ maxLength: 2 }))
        .map(([key, value]) => kvPut(key, value)),
      fc.constantFrom('a/1', 'a/', 'b').map((key) => kvDelete(key, { recurse: true })),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 20 }), fc.nat(20), async (commands, cut) => {
        const start = h.catalog.view.index
        const states = [JSON.stringify(h.catalog.view.kvKeys('a/', ''))]
        const copy = new Map(h.catalog.view.kvUnder('a/').map((row) => [row.key, row.modifyIndex]))
        let since = start
        const follow = async (): Promise<void> => {
          for (;;) {
            const { index, compacted, changes } = await next('a/', since)
            expect(compacted).toBe(false)
            for (const { key, row } of changes) {
              expect(key.startsWith('a/')).toBe(true)
              if (row) copy.set(key, row.modifyIndex)
              else copy.delete(key)
            }
            expect(index).toBeGreaterThanOrEqual(since)
            since = index
            if (changes.length === 0) return
          }
        }
        for (const [i, each] of commands.entries()) {
          await h.catalog.execute(each)
          states.push(JSON.stringify(h.catalog.view.kvKeys('a/', '')))
          if (i === cut) await follow()
        }
        await follow()
        const rows = h.catalog.view.kvUnder('a/').map((row): [string, number] => [row.key, row.modifyIndex])
        expect([...copy].sort()).toEqual(rows.sort())
      }),
      { numRuns: 50 },
    )
  })

  it('wait, and wake with the first', async () => {
    h = await openHarness()
    const { catalog } = h
    const since = (await catalog.execute(kvPut('x', ''))).index
    const waiting = catalog.kvChanges('a/', { since, waitMs: 60_000 })
    await catalog.execute(kvPut('other', ''))
    const { index } = await catalog.execute(kvPut('a/1', 'v'))
    expect(await waiting).toMatchObject({ index, changes: [{ key: 'a/1', index }] })
    expect(h.clock.pendingTimers).toBe(0)
    const controller = new AbortController()
    const called = catalog.kvChanges('a/', { since: index, waitMs: 60_000, signal: controller.signal })
    controller.abort()
    await expect(called).rejects.toMatchObject({ code: 'timeout' })
    expect(h.clock.pendingTimers).toBe(0)
  })

  it('say when their history is gone, or was that of another life', async () => {
    h = await openHarness()
    const { catalog, store } = h
    const { index } = await catalog.execute(kvPut('a/1', ''))
    await catalog.execute(kvPut('a/2', ''))
    await store.compact(store.revision)
    expect(await next('a/', index)).toMatchObject({ compacted: true, index: catalog.view.index })
    expect((await next('a/', catalog.view.index + 5)).compacted).toBe(true)
    const before = catalog.view.index
    await catalog.raiseGeneration(1)
    expect((await next('a/', before)).compacted).toBe(true)
    expect(await next('a/', catalog.view.index)).toMatchObject({ compacted: false, changes: [] })
  })

  it('show locks too', async () => {
    h = await openHarness()
    const { catalog } = h
    await catalog.execute(register(nodeEntry('n1')))
    await catalog.execute(sessionCreate(S))
    const since = catalog.view.index
    await catalog.execute(kvLock('a/l', S))
    await catalog.execute({ kind: 'session-destroy', session: S })
    const { changes } = await next('a/', since)
    expect(changes.map(({ row }) => row?.session)).toEqual([S, ''])
  })
})
