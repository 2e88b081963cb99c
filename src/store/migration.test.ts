/** Migration between embedded stores: what holds for every driver. With etcd: test/store/migrate.test.ts. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { currentRuntime } from '../runtime/runtime.ts'
import { openEmbedded } from './embedded/embedded.ts'
import { openEmbeddedSource, openEmbeddedTarget } from './embedded/migration.ts'
import { type MigrationOptions, type MigrationTarget, migrate, type StoredEntry } from './migration.ts'
import type { Store } from './store.ts'

const { clock, random } = await currentRuntime()
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const mark: StoredEntry = { key: 't/mark', value: bytes('x') }

async function folder(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'atoll-migration-'))
  onTestFinished(() => rm(root, { recursive: true, force: true }))
  return root
}

async function within<T>(path: string, use: (store: Store) => Promise<T>): Promise<T> {
  const store = await openEmbedded({ path, clock, random })
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}

const fill = (path: string, entries: Iterable<readonly [string, string]>): Promise<void> =>
  within(path, async (store) => {
    for (const [key, value] of entries) await store.txn({ then: [{ put: key, value: bytes(value) }] })
  })

const content = (path: string): Promise<string[]> =>
  within(path, async (store) =>
    (await store.range('', '')).kvs.map(({ key, value }) => `${key}=${Buffer.from(value).toString()}`),
  )

async function move(
  from: string,
  to: string,
  options: Partial<MigrationOptions> = {},
  around: (target: MigrationTarget) => MigrationTarget = (target) => target,
) {
  const source = await openEmbeddedSource({ path: from, random })
  try {
    const target = await openEmbeddedTarget({ path: to, random })
    try {
      const wants = (key: string): boolean => !key.startsWith('l/')
      return await migrate({ source, target: around(target), wants, marks: [mark], ...options })
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

test('what is wanted goes along, with the marks, in a life of its own', async () => {
  const [a, b] = [join(await folder(), 'a'), join(await folder(), 'b')]
  await fill(a, [
    ['k/1', 'one'],
    ['k/2', ''],
    ['l/x', 'a sign of life'],
    ['\uFEFFk', 'bom'],
    ['z\u{1F600}', '\0'],
    ['t/mark', 'of before'],
  ])
  const before = await within(a, async (store) => ({ epoch: store.epoch, revision: store.status().revision }))
  const told = await move(a, b)
  expect(told).toMatchObject({ entries: 4, leftOut: 2, resumed: false, epoch: { generation: 1 } })
  expect(await content(b)).toEqual(['k/1=one', 'k/2=', 't/mark=x', 'z\u{1F600}=\0', '\uFEFFk=bom'])
  expect(await within(b, async ({ epoch }) => epoch)).toEqual(told.epoch)
  // The old one is as it was, and a further move gives the same sum.
  expect(await within(a, async (store) => ({ epoch: store.epoch, revision: store.status().revision }))).toEqual(before)
  const back = await move(b, join(await folder(), 'c'))
  expect(back).toMatchObject({ entries: 4, sha256: told.sha256, epoch: { generation: 2 } })
})

test('any content comes out as it went in', async () => {
  const key = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((text) => text.isWellFormed())
  await fc.assert(
    fc.asyncProperty(fc.dictionary(key, fc.string({ maxLength: 40 }), { maxKeys: 30 }), async (entries) => {
      const root = await mkdtemp(join(tmpdir(), 'atoll-migration-'))
      try {
        await fill(join(root, 'a'), Object.entries(entries))
        await move(join(root, 'a'), join(root, 'b'), { wants: () => true, marks: [] })
        expect(await content(join(root, 'b'))).toEqual(await content(join(root, 'a')))
      } finally {
        await rm(root, { recursive: true })
      }
    }),
    { numRuns: 4 },
  )
})

test('one that was broken off leaves no store, and is run again', async () => {
  const [a, b] = [join(await folder(), 'a'), join(await folder(), 'b')]
  const entries = Array.from({ length: 30 }, (_, i): [string, string] => [`k/${i}`, 'x'.repeat(100_000)])
  await fill(a, entries)
  const pages: number[] = []
  const breaks = move(a, b, {
    onProgress(copied) {
      pages.push(copied)
      if (copied > 20) throw new Error('killed')
    },
  })
  await expect(breaks).rejects.toThrow('killed')
  expect(pages.length).toBeGreaterThan(1)
  await expect(openEmbedded({ path: b, clock, random })).rejects.toMatchObject({
    code: 'unfinished',
    message: expect.stringContaining('atoll store migrate'),
  })
  await expect(openEmbeddedSource({ path: b, random })).rejects.toMatchObject({ code: 'unfinished' })
  await within(a, async (store) => void (await store.txn({ then: [{ delete: 'k/29' }] })))
  expect(await move(a, b)).toMatchObject({ entries: 29, resumed: true })
  expect(await content(b)).toHaveLength(30)
})

test('what is read back must be what was written', async () => {
  const [a, b] = [join(await folder(), 'a'), join(await folder(), 'b')]
  await fill(a, [
    ['k/1', 'one'],
    ['k/2', 'two'],
  ])
  const spoilt = (target: MigrationTarget): MigrationTarget => ({
    place: target.place,
    found: target.found,
    begin: () => target.begin(),
    write: (entries) =>
      target.write(entries.map(({ key, value }) => ({ key, value: key === 'k/2' ? bytes('?') : value }))),
    pages: () => target.pages(),
    finish: (generation) => target.finish(generation),
    close: () => target.close(),
  })
  await expect(move(a, b, {}, spoilt)).rejects.toMatchObject({ code: 'corrupt' })
  await expect(openEmbedded({ path: b, clock, random })).rejects.toMatchObject({ code: 'unfinished' })
})

test('refuses what is no source and no target', async () => {
  const [a, b] = [join(await folder(), 'a'), join(await folder(), 'b')]
  await expect(move(a, b)).rejects.toMatchObject({ code: 'invalid', message: expect.stringContaining('no store in') })
  await fill(a, [['k/1', 'one']])
  await fill(b, [['k/1', 'another']])
  await expect(move(a, b)).rejects.toMatchObject({ code: 'invalid', message: expect.stringContaining('not empty') })
  expect(await content(b)).toEqual(['k/1=another'])
  const server = await openEmbedded({ path: a, clock, random })
  await expect(move(a, join(await folder(), 'c'))).rejects.toMatchObject({ code: 'locked' })
  await server.close()
  // A life that was there before, and is empty now, is outdone.
  const c = join(await folder(), 'c')
  await within(c, (store) => store.raiseGeneration(7))
  expect((await move(a, c)).epoch.generation).toBe(8)
})
