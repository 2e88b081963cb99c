import { afterEach, describe, expect, it } from 'vitest'
import { VirtualClock } from '../../runtime/virtual.ts'
import { StoreError } from '../../store/store.ts'
import {
  checkEntry,
  kvDelete,
  kvLock,
  kvPut,
  kvUnlock,
  nodeEntry,
  register,
  sessionCreate,
} from '../testing/entries.ts'
import { type Harness, openHarness, silent } from '../testing/harness.ts'
import { MemoryStore } from '../testing/memory-store.ts'
import { type Duties, startDuties } from './duties.ts'

const idOf = (i: number) => `aaaaaaaa-0000-0000-0000-${String(i).padStart(12, '0')}`
const [A, B] = [idOf(1), idOf(2)]

let h: Harness
let clock: VirtualClock
let duties: Duties | undefined

async function open(options: { remote?: boolean } = {}): Promise<void> {
  clock = new VirtualClock()
  h = await openHarness({ store: new MemoryStore({ clock, ...options }) })
  lead()
  await clock.advance(0)
  await h.catalog.execute(
    register(nodeEntry('n1'), [], [checkEntry('n1', 'alive'), checkEntry('n1', 'disk', { status: 'warning' })]),
  )
}
const lead = (): void => {
  const { store, catalog, random } = h
  const self = { serverId: 's', address: 'h:1' }
  duties = startDuties({ store, catalog, clock, random, logger: silent, self })
}
afterEach(async () => {
  await duties?.close()
  duties = undefined
  await h?.close()
  expect(clock.pendingTimers).toBe(0)
})

const execute = (command: Parameters<Harness['catalog']['execute']>[0]) => h.catalog.execute(command)
const applied = async (command: Parameters<Harness['catalog']['execute']>[0]) => (await execute(command)).applied
const status = (checkId: string, to: 'passing' | 'critical') =>
  execute({ kind: 'check-status', node: 'n1', checkId, status: to, output: '' })
const stands = (id: string) => h.catalog.view.session(id) !== undefined
const holder = (key: string) => h.catalog.view.kv(key)?.session

describe.each([
  ['a store whose tables are current', {}],
  ['a distributed store', { remote: true }],
])('sessions on %s', (_, options) => {
  it('rest on a node and on checks that are not critical', async () => {
    await open(options)
    await expect(execute(sessionCreate(A, { node: 'nope' }))).rejects.toThrow('Missing node registration')
    await expect(execute(sessionCreate(A, { nodeChecks: ['x'] }))).rejects.toThrow("Missing check 'x' registration")
    await status('alive', 'critical')
    await expect(execute(sessionCreate(A, { nodeChecks: ['alive'] }))).rejects.toThrow(
      "Check 'alive' is in critical state",
    )
    await status('alive', 'passing')
    expect(await applied(sessionCreate(A, { nodeChecks: ['alive'], serviceChecks: ['DISK'] }))).toBe(true)
    await expect(execute(sessionCreate(A))).rejects.toMatchObject({ code: 'conflict' })
    await expect(execute(sessionCreate('nope'))).rejects.toMatchObject({ code: 'invalid', field: 'ID' })
    await expect(execute(sessionCreate(B, { ttlMs: 9_999 }))).rejects.toMatchObject({ field: 'TTL' })
    expect(h.catalog.view.sessionsOf('N1').map(({ id }) => id)).toEqual([A])
  })

  it('hold keys: one at a time, with a LockIndex that counts the holders', async () => {
    await open(options)
    await execute(sessionCreate(A))
    await execute(sessionCreate(B))
    expect(await applied(kvLock('l', A, '1'))).toBe(true)
    expect(h.catalog.view.kv('l')).toMatchObject({ session: A, lockIndex: 1 })
    expect(await applied(kvLock('l', A, '2'))).toBe(true)
    expect(await applied(kvLock('l', B, '3'))).toBe(false)
    expect(await applied(kvUnlock('l', B, '3'))).toBe(false)
    expect(await applied(kvPut('l', 'plain'))).toBe(true)
    expect(h.catalog.view.kv('l')).toMatchObject({ session: A, lockIndex: 1 })
    expect(await applied(kvUnlock('l', A, 'bye'))).toBe(true)
    expect(h.catalog.view.kv('l')).toMatchObject({ session: '', lockIndex: 1 })
    expect(await applied(kvLock('l', B, 'mine'))).toBe(true)
    expect(h.catalog.view.kv('l')).toMatchObject({ session: B, lockIndex: 2 })
    await expect(execute(kvLock('l', idOf(9)))).rejects.toThrow(`invalid session "${idOf(9)}"`)
    await execute(kvDelete('l'))
    expect(h.catalog.view.kvTable.heldBy(B)).toEqual([])
  })

  it('release what they hold when they end, under their lock-delay', async () => {
    await open(options)
    await execute(sessionCreate(A, { lockDelayMs: 2_000 }))
    await execute(sessionCreate(B))
    await execute(kvLock('l', A, 'v'))
    await execute({ kind: 'session-destroy', session: A })
    await clock.advance(0)
    expect(h.catalog.view.kv('l')).toMatchObject({ session: '', lockIndex: 1 })
    expect(await applied(kvLock('l', B))).toBe(false)
    await clock.advance(1_900)
    expect(await applied(kvLock('l', B))).toBe(false)
    await clock.advance(200)
    expect(await applied(kvLock('l', B))).toBe(true)
    expect(await applied({ kind: 'session-destroy', session: A })).toBe(true)
  })

  it('have a full term also when their server makes no lease for them, or late', async () => {
    await open(options)
    await clock.advance(60_000)
    const grant = h.store.grantLease
    h.store.grantLease = () => Promise.reject(new StoreError('unavailable', 'no majority'))
    await execute(sessionCreate(A, { ttlMs: 10_000 }))
    await execute(sessionCreate(B, { ttlMs: 10_000 }))
    h.store.grantLease = grant
    await clock.advance(14_000)
    expect([stands(A), stands(B)]).toEqual([true, true])
    expect(await applied({ kind: 'session-renew', session: B })).toBe(true)
    await clock.advance(2_000)
    expect([stands(A), stands(B)]).toEqual([false, true])
  })

  it('are not renewed by what began before they were ended', async () => {
    await open(options)
    await execute(sessionCreate(A, { ttlMs: 10_000 }))
    const renewLease = h.store.renewLease.bind(h.store)
    const held = Promise.withResolvers<void>()
    let renewals = 0
    h.store.renewLease = async (id) => {
      await renewLease(id)
      renewals++
      await held.promise
    }
    const renewal = { kind: 'session-renew', session: A } as const
    const early = applied(renewal)
    while (renewals === 0) await clock.advance(1)
    expect(await applied({ kind: 'session-destroy', session: A })).toBe(true)
    // All that come while one is under way share the next.
    const late = [applied(renewal), applied(renewal)]
    held.resolve()
    expect(await early).toBe(true)
    expect(await Promise.all(late)).toEqual([false, false])
    expect(renewals).toBe(1)
    expect(await applied(renewal)).toBe(false)
  })

  it('delete what they hold when they were made so', async () => {
    await open(options)
    await execute(sessionCreate(A, { behavior: 'delete' }))
    await execute(kvLock('e/1', A))
    await execute(kvLock('e/2', A))
    await execute(kvPut('e/3', ''))
    await execute({ kind: 'session-destroy', session: A })
    await clock.advance(0)
    expect(h.catalog.view.kvKeys('e/', '')).toEqual(['e/3'])
  })

  it('end with a critical check, also when it was only for a moment', async () => {
    await open(options)
    await execute(sessionCreate(A, { nodeChecks: ['alive'] }))
    await execute(sessionCreate(B, { checks: ['disk'] }))
    await execute(kvLock('l', A))
    await status('alive', 'critical')
    await status('alive', 'passing')
    await clock.advance(0)
    expect([stands(A), stands(B)]).toEqual([false, true])
    expect(holder('l')).toBe('')
    await execute({ kind: 'deregister', node: 'n1', checkId: 'disk' })
    await clock.advance(0)
    expect(stands(B)).toBe(false)
  })

  it('end with their node', async () => {
    await open(options)
    await execute(sessionCreate(A))
    await execute(kvLock('l', A))
    await execute({ kind: 'deregister', node: 'n1' })
    await clock.advance(0)
    expect(stands(A)).toBe(false)
    expect(holder('l')).toBe('')
  })

  it('last for their TTL at least, for twice as long at most, and for as long as they are renewed', async () => {
    await open(options)
    await execute(sessionCreate(A, { ttl: '10s', ttlMs: 10_000 }))
    await execute(kvLock('l', A))
    for (let i = 0; i < 6; i++) {
      await clock.advance(9_900)
      expect(await applied({ kind: 'session-renew', session: A })).toBe(true)
    }
    await clock.advance(10_000)
    expect(holder('l')).toBe(A)
    await clock.advance(10_000)
    expect(stands(A)).toBe(false)
    expect(holder('l')).toBe('')
    expect(await applied({ kind: 'session-renew', session: A })).toBe(false)
  })

  it('with thousands of keys end at once for everybody, and release them in bounded transactions', async () => {
    await open(options)
    await execute(sessionCreate(A, { lockDelayMs: 60_000 }))
    await execute(sessionCreate(B))
    const count = 300
    for (let i = 0; i < count; i++) await execute(kvLock(`k/${i}`, A))
    const ending = execute({ kind: 'session-destroy', session: A })
    await ending
    await clock.advance(0)
    expect(h.catalog.view.kvUnder('k/').filter((row) => row.session !== '')).toEqual([])
    expect(h.catalog.view.sessionTable.delays.size).toBe(count)
    expect([...h.catalog.view.sessionTable.all()].map(({ id }) => id)).toEqual([B])
    expect((await h.reloaded()).sessionTable.delays.size).toBe(count)
  })
})

describe('the leader', () => {
  it('finishes what a former one began: a session that is ending', async () => {
    await open()
    await execute(sessionCreate(A))
    for (let i = 0; i < 200; i++) await execute(kvLock(`k/${i}`, A))
    await duties!.close()
    // The first part of the end came through, and no more.
    const { txn } = h.store
    let left = 1
    h.store.txn = (asked) => (left-- > 0 ? txn.call(h.store, asked) : Promise.reject(new Error('killed')))
    await expect(execute({ kind: 'session-destroy', session: A })).rejects.toThrow()
    h.store.txn = txn
    expect(h.catalog.view.sessionTable.ending.has(A)).toBe(true)
    expect(stands(A)).toBe(false)
    await expect(execute(kvLock('other', A))).rejects.toThrow('invalid session')
    expect(h.catalog.view.kvTable.heldBy(A).length).toBeGreaterThan(0)
    lead()
    await clock.advance(1_000)
    expect(h.catalog.view.kvTable.heldBy(A)).toEqual([])
    expect(h.catalog.view.sessionTable.ending.size).toBe(0)
  })

  it('gives every session a full term after its start and after it stood still', async () => {
    await open()
    await execute(sessionCreate(A, { ttl: '10s', ttlMs: 10_000 }))
    const leaseOf = () => h.catalog.view.sessionTable.leases.get(A)!.lease
    await duties!.close()
    await h.store.revokeLease(leaseOf())
    lead()
    await clock.advance(14_900)
    expect(stands(A)).toBe(true)
    expect(await applied({ kind: 'session-renew', session: A })).toBe(true)
    clock.stall(60_000)
    await h.store.revokeLease(leaseOf())
    await clock.advance(14_000)
    expect(stands(A)).toBe(true)
    await clock.advance(5_000)
    expect(stands(A)).toBe(false)
  })

  it('in doubt about itself, lets a share of the sessions lapse at a time', async () => {
    await open()
    for (let i = 0; i < 20; i++) await execute(sessionCreate(idOf(i), { ttl: '10s', ttlMs: 10_000 }))
    await clock.advance(15_500)
    const left = h.catalog.view.sessions().length
    expect(left).toBeGreaterThanOrEqual(14)
    expect(left).toBeLessThan(20)
    await clock.advance(60_000)
    expect(h.catalog.view.sessions().length).toBe(0)
  })

  it('begins a lock-delay anew: it is never shorter than it was meant', async () => {
    await open()
    await execute(sessionCreate(A, { lockDelayMs: 10_000 }))
    await execute(sessionCreate(B))
    await execute(kvLock('l', A))
    await execute({ kind: 'session-destroy', session: A })
    await clock.advance(6_000)
    await duties!.close()
    lead()
    await clock.advance(9_000)
    expect(await applied(kvLock('l', B))).toBe(false)
    await clock.advance(2_000)
    expect(await applied(kvLock('l', B))).toBe(true)
  })
})

describe('session indexes', () => {
  it('stand still for what did not change, rise with its end, and outlive a restart', async () => {
    await open()
    await execute(sessionCreate(A))
    const { view } = h.catalog
    const at = (ref: Parameters<typeof view.topic>[0]) => view.topic(ref).index
    const before = at({ kind: 'session', session: A })
    const made = await execute(sessionCreate(B))
    expect(at({ kind: 'session', session: A })).toBe(before)
    expect(at({ kind: 'sessions' })).toBe(made.index)
    expect(at({ kind: 'node-sessions', node: 'n1' })).toBe(made.index)
    let woken = 0
    view.topic({ kind: 'session', session: A }).onceChanged(() => woken++)
    const ended = await execute({ kind: 'session-destroy', session: A })
    expect(woken).toBe(1)
    for (const ref of [
      { kind: 'session', session: A },
      { kind: 'sessions' },
      { kind: 'node-sessions', node: 'n1' },
    ] as const)
      expect(at(ref)).toBe(ended.index)
    const again = await h.reloaded()
    expect(again.topic({ kind: 'session', session: A }).index).toBe(ended.index)
    expect(again.sessions().map(({ id }) => id)).toEqual([B])
  })
})
