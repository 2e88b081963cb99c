import { afterEach, describe, expect, it } from 'vitest'
import { SeededRandom, VirtualClock } from '../runtime/virtual.ts'
import type { Command } from './catalog.ts'
import { openCatalog } from './open.ts'
import { checkEntry, kvLock, kvPut, nodeEntry, register, serviceEntry, sessionCreate } from './testing/entries.ts'
import { type Harness, openHarness, silent } from './testing/harness.ts'
import { MemoryStore } from './testing/memory-store.ts'
import type { TxnOperation } from './txn.ts'

const S = 'aaaaaaaa-0000-0000-0000-000000000001'
const bytes = (text: string) => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined) => value && new TextDecoder().decode(value)
const kv = (verb: string, key: string, more: { value?: string; index?: number; session?: string } = {}) =>
  ({
    type: 'kv',
    verb,
    key,
    value: bytes(more.value ?? ''),
    flags: 0n,
    index: more.index ?? 0,
    session: more.session ?? '',
  }) as const
const txn = (...operations: TxnOperation[]): Command => ({ kind: 'txn', operations })

let h: Harness
afterEach(() => h?.close())
const run = async (...operations: TxnOperation[]) => {
  const result = await h.catalog.execute(txn(...operations))
  return { ...result, ...result.txn! }
}

describe('transactions of keys', () => {
  it('are one revision, whose index all that they wrote has', async () => {
    h = await openHarness()
    const { index, entries } = await run(kv('set', 'a', { value: '1' }), kv('set', 'b'), kv('get', 'a'))
    expect(entries.map(({ row }) => row.modifyIndex)).toEqual([index, index, index])
    expect(text((entries[2] as { row: { value: Uint8Array } }).row.value)).toBe('1')
    expect(h.catalog.view.kv('b')).toMatchObject({ createIndex: index, modifyIndex: index })
    expect(h.catalog.view.index).toBe(index)
  })

  it('change nothing when one operation cannot be, and tell all that cannot', async () => {
    h = await openHarness()
    const before = await h.catalog.execute(kvPut('a', '1'))
    const { applied, errors, entries } = await run(
      kv('get', 'none'),
      kv('set', 'b'),
      kv('cas', 'a', { index: 1 }),
      kv('check-not-exists', 'a'),
    )
    expect(applied).toBe(false)
    expect(entries).toEqual([])
    expect(errors).toEqual([
      { operation: 0, what: 'key "none" doesn\'t exist' },
      { operation: 2, what: 'failed to set key "a", index is stale' },
      { operation: 3, what: 'key "a" exists' },
    ])
    expect(h.catalog.view.index).toBe(before.index)
  })

  it('see what they did before, trees too', async () => {
    h = await openHarness()
    await h.catalog.execute(kvPut('t/0', ''))
    const { entries } = await run(kv('set', 't/1'), kv('delete', 't/0'), kv('get-tree', 't/'), kv('delete-tree', 't/'))
    expect(entries.map((entry) => (entry.type === 'kv' ? entry.row.key : ''))).toEqual(['t/1', 't/1'])
    expect(h.catalog.view.kvKeys('', '')).toEqual([])
  })

  it('lock and check sessions: what a holder writes is fenced', async () => {
    h = await openHarness()
    await h.catalog.execute(register(nodeEntry('n1')))
    await h.catalog.execute(sessionCreate(S))
    await run(kv('lock', 'l', { session: S }), kv('set', 'data', { value: 'mine' }))
    expect(h.catalog.view.kv('l')).toMatchObject({ session: S, lockIndex: 1 })
    const fenced = () => run(kv('check-session', 'l', { session: S }), kv('set', 'data', { value: 'late' }))
    expect((await fenced()).applied).toBe(true)
    await h.catalog.execute({ kind: 'session-destroy', session: S })
    expect((await fenced()).errors[0]!.what).toContain('failed session check for key "l"')
    expect((await run(kv('lock', 'l', { session: S }))).errors).toEqual([
      { operation: 0, what: `invalid session "${S}"` },
    ])
  })

  it('refuse what no single transaction of the store takes, whole', async () => {
    h = await openHarness()
    for (let i = 0; i < 200; i++) await h.catalog.execute(kvPut(`many/${i}`, ''))
    await expect(h.catalog.execute(txn(kv('delete-tree', 'many/')))).rejects.toMatchObject({ code: 'too-large' })
    expect(h.catalog.view.kvUnder('many/').length).toBe(200)
    expect((await run(kv('get-tree', 'many/'))).entries.length).toBe(200)
    const operations = Array.from({ length: 65 }, () => kv('get', 'many/1'))
    await expect(h.catalog.execute(txn(...operations))).rejects.toMatchObject({ code: 'too-large' })
  })
})

describe('transactions of nodes, services and checks', () => {
  it('register and remove together, in the indexes of lookups too', async () => {
    h = await openHarness()
    const node = { type: 'node', verb: 'set', node: nodeEntry('n1'), index: 0 } as const
    const service = { type: 'service', verb: 'set', node: 'n1', service: serviceEntry('n1', 'web'), index: 0 } as const
    const check = checkEntry('n1', 'c', { serviceId: 'web' })
    const made = await run(node, service, { type: 'check', verb: 'set', check, index: 0 }, kv('set', 'flag'))
    expect(made.entries.map(({ type, row }) => [type, row.createIndex])).toEqual(
      ['node', 'service', 'check', 'kv'].map((type) => [type, made.index]),
    )
    expect(h.catalog.view.instances('web')[0]!.checks[0]).toMatchObject({ serviceName: 'web', createIndex: made.index })
    expect((await run({ ...service, verb: 'cas', index: 1 })).errors[0]!.what).toBe(
      'failed to set service "web" on node "n1", index is stale',
    )
    const gone = await run({ ...service, verb: 'delete-cas', index: made.index }, { ...node, verb: 'get' })
    expect(gone.applied).toBe(true)
    expect(h.catalog.view.instances('web')).toEqual([])
    expect(h.catalog.view.topic({ kind: 'service', service: 'web' }).index).toBe(gone.index)
    expect((await run({ ...node, verb: 'delete' }, service)).errors).toEqual([
      { operation: 1, what: 'Missing node registration' },
    ])
  })

  it('do not take a name that another node has', async () => {
    h = await openHarness()
    const id = (i: number) => `bbbbbbbb-0000-0000-0000-00000000000${i}`
    await h.catalog.execute(register(nodeEntry('n1', { id: id(1) })))
    const other = { type: 'node', verb: 'set', node: nodeEntry('n1', { id: id(2) }), index: 0 } as const
    expect((await run(other)).errors[0]!.what).toContain('Node name n1 is reserved')
    const renamed = { ...other, node: nodeEntry('n2', { id: id(1) }) }
    expect((await run(renamed)).errors[0]!.what).toContain('belongs to node n1')
  })
})

describe('two servers', () => {
  it('move amounts between keys by cas, and none is made or lost', async () => {
    const clock = new VirtualClock()
    const store = new MemoryStore({ clock, remote: true })
    const random = new SeededRandom(7)
    const open = () => openCatalog({ store, datacenter: 'eu-1', clock, random, logger: silent })
    const servers = [await open(), await open()]
    const accounts = ['a', 'b', 'c']
    for (const key of accounts) await servers[0]!.execute(kvPut(key, '100'))
    let moved = 0
    const move = async (at: number): Promise<void> => {
      const { view } = servers[at]!
      const from = accounts[Math.floor(random.float() * 3)]!
      const to = accounts.find((key) => key !== from)!
      const [source, target] = [view.kv(from)!, view.kv(to)!]
      const { applied } = await servers[at]!.execute(
        txn(
          kv('cas', from, { value: String(Number(text(source.value)) - 1), index: source.modifyIndex }),
          kv('cas', to, { value: String(Number(text(target.value)) + 1), index: target.modifyIndex }),
        ),
      )
      if (applied) moved++
    }
    for (let round = 0; round < 40; round++) await Promise.all([move(0), move(1), move(0), move(1)])
    await servers[0]!.barrier()
    const sum = accounts.reduce((total, key) => total + Number(text(servers[0]!.view.kv(key)!.value)), 0)
    expect(sum).toBe(300)
    expect(moved).toBeGreaterThanOrEqual(40)
    for (const server of servers) await server.close()
    await store.close()
  })

  it.each([false, true])(
    'sent again under its request id answers as before, whatever happened since (remote: %s)',
    async (remote) => {
      h = await openHarness({ remote })
      await h.catalog.execute(kvPut('there', 'old'))
      await h.catalog.execute(register(nodeEntry('n1'), [serviceEntry('n1', 'web')]))
      const send = (requestId: string, ...operations: TxnOperation[]) =>
        h.catalog.execute(txn(...operations), { requestId })
      const applied = () =>
        send(
          'r1',
          { ...kv('set', 'a', { value: '1' }), flags: 2n ** 64n - 1n },
          kv('get', 'there'),
          { type: 'node', verb: 'get', node: nodeEntry('n1'), index: 0 },
          { type: 'service', verb: 'set', node: 'n1', service: serviceEntry('n1', 'db'), index: 0 },
        )
      const refused = () => send('r2', kv('set', 'b'), kv('check-not-exists', 'there'))
      const firsts = [await applied(), await refused()]
      expect(firsts.map(({ applied, txn }) => [applied, txn?.entries.length, txn?.errors.length])).toEqual([
        [true, 4, 0],
        [false, 0, 1],
      ])
      await h.catalog.execute({ kind: 'kv-delete', key: '', recurse: true })
      expect([await applied(), await refused()]).toEqual(firsts)
      expect(h.catalog.view.kvUnder('')).toEqual([])
    },
  )

  it('that only reads leaves nothing behind, and what is too large is not kept', async () => {
    h = await openHarness()
    const { index } = await h.catalog.execute(kvPut('large', 'x'.repeat(100_000)))
    const send = (requestId: string, ...operations: TxnOperation[]) =>
      h.catalog.execute(txn(...operations), { requestId })
    for (let i = 0; i < 2; i++) expect((await send('r1', kv('get', 'large'))).txn?.entries).toHaveLength(1)
    expect([h.catalog.view.index, h.catalog.view.signals.outcomes.size]).toEqual([index, 0])
    const first = await send('r2', kv('set', 'a'), kv('get', 'large'))
    expect(first.txn?.entries).toHaveLength(2)
    expect(await send('r2', kv('set', 'a'), kv('get', 'large'))).toEqual({ index: first.index, applied: true })
  })

  it('lock in a transaction is released by the end of its session, whoever ends it', async () => {
    h = await openHarness({ remote: true })
    await h.catalog.execute(register(nodeEntry('n1')))
    await h.catalog.execute(sessionCreate(S))
    await Promise.all(
      [
        h.catalog.execute(txn(kv('lock', 'x', { session: S }))),
        h.catalog.execute(kvLock('y', S)),
        h.catalog.execute({ kind: 'session-destroy', session: S }),
      ].map((each) => each.catch(() => {})),
    )
    expect(h.catalog.view.kvTable.heldBy(S)).toEqual([])
  })
})
