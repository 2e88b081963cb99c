import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { Logger } from '../../runtime/ports.ts'
import { currentRuntime } from '../../runtime/runtime.ts'
import { VirtualClock } from '../../runtime/virtual.ts'
import type { RevisionEvents, Store, WatchHandler } from '../store.ts'
import { type EmbeddedOptions, openEmbedded } from './embedded.ts'

const { clock, random } = await currentRuntime()
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const put = (store: Store, key: string, value = 'x'): Promise<unknown> =>
  store.txn({ then: [{ put: key, value: bytes(value) }] })

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'atoll-embedded-'))
  onTestFinished(() => rm(path, { recursive: true }))
  return path
}

async function open(options: Partial<EmbeddedOptions> & { path: string }): Promise<Store> {
  const store = await openEmbedded({ clock, random, ...options })
  onTestFinished(() => store.close())
  return store
}

interface Recorded extends WatchHandler {
  readonly revisions: RevisionEvents[]
  compacted?: number
  ended?: boolean
  error?: Error | undefined
}

function recorder(): Recorded {
  return {
    revisions: [],
    onRevisions(batch) {
      this.revisions.push(...batch)
    },
    onCompacted(oldest) {
      this.compacted = oldest
    },
    onEnd(error) {
      this.ended = true
      this.error = error
    },
  }
}

test('watches hear of a transaction before its promise resolves, and the barrier is free', async () => {
  const store = await open({ path: ':memory:' })
  const watch = recorder()
  store.watch('', '', 0, watch)
  const writes = Array.from({ length: 20 }, async (_, i) => {
    const { revision } = await store.txn({ then: [{ put: `k${i}`, value: bytes('x') }] })
    expect(watch.revisions.at(-1)!.revision).toBeGreaterThanOrEqual(revision)
    expect(store.barrier()).toBeGreaterThanOrEqual(revision)
  })
  await Promise.all(writes)
  expect(watch.revisions.map(({ revision }) => revision)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
})

test('transactions of one batch apply in the order of their calls and see each other', async () => {
  const store = await open({ path: ':memory:' })
  const won = await Promise.all(
    ['a', 'b', 'c'].map((who) =>
      store.txn({
        if: [{ key: 'lock', target: 'create', op: '=', to: 0 }],
        then: [{ put: 'lock', value: bytes(who) }],
        else: [{ range: ['lock', ''] }],
      }),
    ),
  )
  expect(won.map(({ succeeded }) => succeeded)).toEqual([true, false, false])
  expect(won[2]!.results).toMatchObject([{ kvs: [{ value: bytes('a'), version: 1 }] }])
})

test('only what changes something takes a revision', async () => {
  const store = await open({ path: ':memory:' })
  await put(store, 'a')
  await store.txn({ then: [{ delete: 'b' }, { deleteRange: ['b', ''] }, { range: ['', ''] }] })
  await store.txn({ if: [{ key: 'a', target: 'mod', op: '=', to: 9 }], then: [{ delete: 'a' }] })
  const { id } = await store.grantLease(5000)
  await store.revokeLease(id)
  expect(store.barrier()).toBe(1)
  await store.txn({ then: [{ put: 'a', value: bytes('same') }] })
  await store.txn({ then: [{ put: 'a', value: bytes('same') }] })
  expect(store.barrier()).toBe(3)
})

test('leases run on the clock that it was given', async () => {
  const virtual = new VirtualClock()
  const path = await folder()
  const store = await open({ path, clock: virtual })
  const { id } = await store.grantLease(10_000)
  await store.txn({ then: [{ put: 'a', value: bytes(''), lease: id }] })
  await virtual.advance(9000)
  await store.renewLease(id)
  await virtual.advance(9000)
  expect((await store.range('', '')).kvs).toHaveLength(1)
  await store.close()
  expect(virtual.pendingTimers).toBe(0)

  const again = await open({ path, clock: virtual })
  await virtual.advance(9900)
  expect((await again.range('', '')).kvs).toHaveLength(1)
  await virtual.advance(200)
  expect((await again.range('', '')).kvs).toHaveLength(0)
  await expect(again.renewLease(id)).rejects.toMatchObject({ code: 'no-lease' })
  expect(again.barrier()).toBe(2)
})

test('after a stall of the process every lease gets a full term', async () => {
  const virtual = new VirtualClock()
  const store = await open({ path: ':memory:', clock: virtual })
  const leases = await Promise.all([store.grantLease(5000), store.grantLease(8000)])
  virtual.stall(60_000)
  await virtual.advance(4900)
  for (const { id } of leases) await store.renewLease(id)
  await virtual.advance(20_000)
  for (const { id } of leases) await expect(store.renewLease(id)).rejects.toMatchObject({ code: 'no-lease' })
})

test('a directory that is open is refused, and free after close', async () => {
  const path = await folder()
  const store = await open({ path })
  await expect(openEmbedded({ path, clock, random })).rejects.toMatchObject({
    code: 'locked',
    message: expect.stringContaining(path),
  })
  await put(store, 'a')
  await store.close()
  await (await open({ path })).close()
})

test('refuses what a newer version wrote, what is damaged, and what is not a store', async () => {
  const newer = await folder()
  await (await open({ path: newer })).close()
  const edit = (sql: string): void => {
    const sqlite = new DatabaseSync(join(newer, 'store.db'))
    sqlite.exec(sql)
    sqlite.close()
  }
  edit("UPDATE meta SET value='2' WHERE key='storage_version'")
  await expect(open({ path: newer })).rejects.toMatchObject({
    code: 'version',
    message: expect.stringContaining('storage version 2'),
  })
  edit(
    "UPDATE meta SET value='1' WHERE key='storage_version'; UPDATE meta SET value='history,x' WHERE key='capabilities'",
  )
  await expect(open({ path: newer })).rejects.toMatchObject({ code: 'version', message: expect.stringContaining('x') })

  const damaged = await folder()
  await writeFile(join(damaged, 'store.db'), 'x'.repeat(9000))
  await expect(open({ path: damaged })).rejects.toMatchObject({
    code: 'corrupt',
    message: expect.stringContaining(damaged),
  })

  const foreign = await folder()
  const sqlite = new DatabaseSync(join(foreign, 'store.db'))
  sqlite.exec('CREATE TABLE theirs(x)')
  sqlite.close()
  await expect(open({ path: foreign })).rejects.toMatchObject({
    code: 'corrupt',
    message: expect.stringContaining('no store'),
  })
})

test('a path that cannot be made fails with the reason', async () => {
  const path = await folder()
  await writeFile(join(path, 'file'), '')
  await expect(open({ path: join(path, 'file', 'store') })).rejects.toMatchObject({ code: 'failed' })
})

test('a full queue refuses, by count and by bytes, and recovers', async () => {
  const store = await open({ path: ':memory:', limits: { queuedTxns: 10, queuedBytes: 10_000 } })
  const outcomes = await Promise.allSettled(Array.from({ length: 12 }, (_, i) => put(store, `k${i}`)))
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
  expect(refused.map(({ reason }) => reason.code)).toEqual(['overloaded', 'overloaded'])
  const large = await Promise.allSettled(Array.from({ length: 4 }, () => put(store, 'large', 'x'.repeat(5000))))
  expect(large.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected'])
  await put(store, 'after')
})

test('a full disk stops the store, loudly; reopened, it has all that was acknowledged', async () => {
  const path = await folder()
  const errors: string[] = []
  const logger: Logger = {
    debug() {},
    info() {},
    warn() {},
    error: (_, message) => errors.push(message),
    child: () => logger,
  }
  const store = await open({ path, logger, limits: { maxSizeBytes: 1024 * 1024 } })
  const watch = recorder()
  store.watch('', '', 0, watch)
  const acknowledged: string[] = []
  const failure = await (async () => {
    for (let i = 0; ; i++) {
      await put(store, `k${i}`, 'x'.repeat(10_000))
      acknowledged.push(`k${i}`)
    }
  })().catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'disk-full' })
  expect(acknowledged.length).toBeGreaterThan(50)
  expect(store.status().failure).toContain('disk is full')
  expect(errors[0]).toContain(path)
  expect(watch.error).toMatchObject({ code: 'failed' })
  await expect(put(store, 'more')).rejects.toMatchObject({ code: 'failed' })
  await expect(store.range('', '')).rejects.toMatchObject({ code: 'failed' })
  expect(store.barrier()).toBe(acknowledged.length)
  await store.close()

  const again = await open({ path })
  expect((await again.range('', '')).kvs.map(({ key }) => key).sort()).toEqual(acknowledged.sort())
  await put(again, 'more')
})

test('a worker that dies takes nothing down with it', async () => {
  const path = await folder()
  const spy = vi.spyOn(Worker.prototype, 'postMessage')
  const store = await open({ path })
  await put(store, 'a')
  const worker = spy.mock.contexts[0] as Worker
  spy.mockRestore()
  const watch = recorder()
  store.watch('', '', 0, watch)
  const lost = put(store, 'b')
  const read = store.range('', '')
  const checks = [
    expect(lost).rejects.toMatchObject({ code: expect.stringMatching(/^(failed|unknown-outcome)$/) }),
    expect(read).rejects.toMatchObject({ code: 'failed' }),
  ]
  await worker.terminate()
  await Promise.all(checks)
  await vi.waitFor(() => expect(watch.ended).toBe(true))
  expect(store.status().failure).toContain('worker')
  await store.close()
  const again = await open({ path })
  expect((await again.range('a', 'b')).kvs).toHaveLength(1)
})

test('history is kept within its bounds, and the file does not grow with it', async () => {
  const path = await folder()
  const store = await open({ path, limits: { historyRevisions: 100, historyBytes: 1024 * 1024 } })
  const write = async (rounds: number, size: number): Promise<void> => {
    for (let i = 0; i < rounds; i++) {
      await Promise.all(Array.from({ length: 20 }, (_, n) => put(store, `k${n}`, 'x'.repeat(size))))
      await store.txn({ then: [{ put: 'gone', value: bytes('') }] })
      await store.txn({ then: [{ delete: 'gone' }] })
    }
  }
  await write(50, 100)
  const { revision, compactedRevision } = store.status()
  expect(revision - compactedRevision).toBeGreaterThanOrEqual(100)
  expect(revision - compactedRevision).toBeLessThanOrEqual(150)
  const watch = recorder()
  store.watch('', '', 1, watch)
  await vi.waitFor(() => expect(watch.compacted).toBe(compactedRevision + 1))
  // 20 large values make 2 MB of history with five rounds, of which the bound lets one stay.
  await write(5, 20_000)
  const size = store.status().sizeBytes
  await write(20, 20_000)
  expect(store.status().sizeBytes).toBeLessThan(size * 1.5)
  expect(store.status().revision - store.status().compactedRevision).toBeLessThan(100)
  await store.close()

  const sqlite = new DatabaseSync(join(path, 'store.db'))
  const { rows } = sqlite.prepare('SELECT count(*) AS rows FROM history').get() as { rows: number }
  sqlite.close()
  expect(rows).toBeLessThan(300)
  const again = await open({ path })
  expect((await again.range('', '')).kvs).toHaveLength(20)
})

test('a compacted store gives its room back while it is idle', async () => {
  const path = await folder()
  const store = await open({ path })
  for (let i = 0; i < 30; i++) {
    await Promise.all(Array.from({ length: 200 }, (_, n) => put(store, `k${n % 10}`, String(i))))
  }
  await store.compact(store.status().revision)
  const rows = (): number => {
    const sqlite = new DatabaseSync(join(path, 'store.db'))
    const counted = sqlite.prepare('SELECT count(*) AS rows FROM history').get() as { rows: number }
    sqlite.close()
    return counted.rows
  }
  // Reads queue up behind the pieces of the sweep, of which each takes 2,000 rows.
  for (let i = 0; i < 5; i++) await store.range('', '', { limit: 1 })
  await store.close()
  expect(rows()).toBe(10)
})

test('a watch handler that throws ends its own watch only', async () => {
  const store = await open({ path: ':memory:' })
  const bad = recorder()
  bad.onRevisions = () => {
    throw new Error('a mistake')
  }
  const good = recorder()
  store.watch('', '', 0, bad)
  store.watch('', '', 0, good)
  await put(store, 'a')
  await put(store, 'b')
  expect(bad.error).toMatchObject({ message: 'a mistake' })
  expect(good.revisions).toHaveLength(2)
})

test('in memory nothing is left', async () => {
  const store = await open({ path: ':memory:' })
  await put(store, 'a')
  await store.close()
  const again = await open({ path: ':memory:' })
  expect((await again.range('', '')).kvs).toEqual([])
  expect(again.epoch.random).not.toBe(store.epoch.random)
})
