import { afterEach, describe, expect, it } from 'vitest'
import { SERF_HEALTH } from '../../model/entries.ts'
import { VirtualClock } from '../../runtime/virtual.ts'
import { type Store, StoreError } from '../../store/store.ts'
import { openCatalog } from '../open.ts'
import { agentSync, checkEntry, kvPut, nodeEntry, register, serviceEntry } from '../testing/entries.ts'
import { type Harness, openHarness, silent } from '../testing/harness.ts'
import { MemoryStore } from '../testing/memory-store.ts'
import { type Duties, type DutiesOptions, startDuties } from './duties.ts'
import { createLiveness, type Liveness } from './liveness.ts'

const idOf = (i: number) => `aaaaaaaa-0000-0000-0000-${String(i).padStart(12, '0')}`

let h: Harness
let clock: VirtualClock
let duties: Duties
let liveness: Liveness

const open = async (options: Partial<DutiesOptions> = {}) => {
  clock = new VirtualClock()
  h = await openHarness({ store: new MemoryStore({ clock }) })
  begin(options)
  await clock.advance(0)
}
const begin = (options: Partial<DutiesOptions> = {}, store: Store = h.store) => {
  const { catalog, random } = h
  duties = startDuties({
    store,
    catalog,
    clock,
    random,
    logger: silent,
    self: { serverId: 's', address: 'h:1' },
    ...options,
  })
  liveness = createLiveness({ store, catalog, clock, logger: silent })
  started.push(duties, liveness)
}
const started: { close(): void | Promise<void> }[] = []
/** A store that a killed process can use no more. */
const mortal = (store: MemoryStore): { store: Store; kill(): void } => {
  let dead = false
  const end = () => Promise.reject(new StoreError('closed', 'killed'))
  const proxy = new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target)
      return typeof value !== 'function' ? value : dead && name !== 'status' ? end : value.bind(target)
    },
  })
  const kill = (): void => {
    dead = true
  }
  return { store: proxy, kill }
}
afterEach(async () => {
  for (const each of started.splice(0)) await each.close()
  await h?.close()
  expect(clock.pendingTimers).toBe(0)
})

const join = async (i: number) => {
  await h.catalog.execute(agentSync(nodeEntry(`n${i}`, { id: idOf(i) })))
  await liveness.alive(idOf(i), `n${i}`, 'boot')
}
const health = (i: number) => h.catalog.view.checksOf(`n${i}`).find((row) => row.checkId === SERF_HEALTH)?.status
const beat = async (nodes: readonly number[], forMs: number) => {
  for (let at = 0; at < forMs; at += 1000) {
    for (const i of nodes) void liveness.alive(idOf(i), `n${i}`, 'boot')
    await clock.advance(1000)
  }
}

describe('leadership', () => {
  it('leads alone, and again at once after a restart', async () => {
    clock = new VirtualClock()
    h = await openHarness({ store: new MemoryStore({ clock }) })
    const former = mortal(h.store)
    begin({}, former.store)
    await clock.advance(0)
    expect(duties.leading).toBe(true)
    expect(duties.leader()).toMatchObject({ serverId: 's', address: 'h:1' })
    const first = h.catalog.view.signals.leader!.createRevision
    // Killed, its lease still stands.
    former.kill()
    begin()
    await clock.advance(0)
    expect(duties.leading).toBe(true)
    expect(h.catalog.view.signals.leader!.createRevision).toBeGreaterThan(first)
    // What the former one does is fenced off.
    const guard = [{ key: 'sys/leader', target: 'create', op: '=', to: first } as const]
    await expect(h.catalog.execute(kvPut('a', 'b'), { guard })).rejects.toMatchObject({ code: 'conflict' })
    expect(h.catalog.view.kv('a')).toBeUndefined()
    await clock.advance(60_000)
    expect(duties.leading).toBe(true)
  })

  it('keeps the lead while it renews, and takes it back after a lapse', async () => {
    await open()
    const { createRevision } = h.catalog.view.signals.leader!
    await clock.advance(60_000)
    expect(h.catalog.view.signals.leader!.createRevision).toBe(createRevision)
    const { kvs } = await h.store.range('sys/leader', 'sys/leader\0')
    await h.store.revokeLease(kvs[0]!.lease)
    await clock.advance(10_000)
    expect(duties.leading).toBe(true)
    expect(h.catalog.view.signals.leader!.createRevision).toBeGreaterThan(createRevision)
  })

  it('is given back at the end, and not waited for where the store takes nothing', async () => {
    await open()
    await duties.close()
    expect(h.catalog.view.signals.leader).toBeUndefined()
    const hangs = new Proxy(h.store, {
      get: (target, name) => {
        if (name === 'revokeLease') return () => new Promise(() => {})
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    begin({}, hangs)
    await clock.advance(0)
    expect(duties.leading).toBe(true)
    const closed = duties.close()
    await clock.advance(1_000)
    await closed
    expect(duties.leading).toBe(false)
  })
})

describe('liveness', () => {
  it('makes a silent node critical within 10 s, and passing with its next sign of life', async () => {
    await open()
    await join(1)
    await join(2)
    await beat([1, 2], 20_000)
    expect([health(1), health(2)]).toEqual(['passing', 'passing'])
    await beat([1], 10_000)
    expect([health(1), health(2)]).toEqual(['passing', 'critical'])
    expect(h.catalog.view.checksOf('n2')[0]).toMatchObject({ output: 'Agent not live or unreachable' })
    await liveness.alive(idOf(2), 'n2', 'boot')
    expect(h.catalog.view.checksOf('n2')[0]).toMatchObject({ status: 'passing', output: 'Agent alive and reachable' })
  })

  it('makes a node critical within 2 s of its connection closing, unless it comes back', async () => {
    await open()
    for (const i of [1, 2, 3]) await join(i)
    for (const i of [1, 2]) liveness.gone(idOf(i))
    liveness.gone(idOf(3), 'another boot')
    await clock.advance(500)
    await liveness.alive(idOf(2), 'n2', 'boot')
    await clock.advance(1400)
    expect([health(1), health(2), health(3)]).toEqual(['critical', 'passing', 'passing'])
    // A new process is another lease; the old one's end is none of its business.
    await liveness.alive(idOf(1), 'n1', 'boot 2')
    liveness.gone(idOf(1), 'boot')
    await clock.advance(2000)
    expect(health(1)).toBe('passing')
  })

  it('gives a silent node more time while its own timers are late, and not for ever', async () => {
    await open()
    await join(1)
    await join(2)
    await beat([1, 2], 30_000)
    const silentSinceMs = clock.nowMs()
    while (health(2) === 'passing') {
      // Every timer comes 700 ms late.
      clock.stall(700)
      await clock.advance(250)
      await liveness.alive(idOf(1), 'n1', 'boot')
    }
    const tookMs = clock.nowMs() - silentSinceMs
    expect(tookMs).toBeGreaterThan(12_000)
    expect(tookMs).toBeLessThan(25_000)
    expect(health(1)).toBe('passing')
  })

  it('of several servers, the one that hears a node keeps it alive, whoever loses a connection to it', async () => {
    await open()
    const [a, b] = ['a', 'b'].map((server) => {
      const { store, catalog } = h
      return createLiveness({ store, catalog, clock, logger: silent, server })
    }) as [Liveness, Liveness]
    started.push(a, b)
    await h.catalog.execute(agentSync(nodeEntry('n1', { id: idOf(1) })))
    await a.alive(idOf(1), 'n1', 'boot')
    const { lease } = h.catalog.view.signals.leases.get(idOf(1))!
    // It turns to the other server, and its connection to the first closes.
    await b.alive(idOf(1), 'n1', 'boot')
    a.gone(idOf(1))
    await clock.advance(3000)
    expect(health(1)).toBe('passing')
    expect(h.catalog.view.signals.leases.get(idOf(1))).toMatchObject({ lease, server: 'b' })
    // It comes back, while its connection to the other closes.
    b.gone(idOf(1))
    await clock.advance(500)
    await a.alive(idOf(1), 'n1', 'boot')
    await clock.advance(1500)
    expect(health(1)).toBe('passing')
    a.gone(idOf(1))
    await clock.advance(2000)
    expect(health(1)).toBe('critical')
    expect(h.catalog.view.signals.leases.has(idOf(1))).toBe(false)
  })

  it('renews in the store at most every 2 s', async () => {
    await open()
    await join(1)
    let renewals = 0
    const renew = h.store.renewLease.bind(h.store)
    h.store.renewLease = (id) => {
      renewals++
      return renew(id)
    }
    const { txns } = h.store
    for (let i = 0; i < 40; i++) {
      await liveness.alive(idOf(1), 'n1', 'boot')
      await clock.advance(100)
    }
    // Two of the node, five of the leader.
    expect(renewals).toBeLessThanOrEqual(7)
    expect(h.store.txns).toBe(txns)
  })

  it('gives everyone a full term after a start, and takes over their leases', async () => {
    await open()
    await join(1)
    await join(2)
    await h.catalog.execute(agentSync(nodeEntry('n3', { id: idOf(3) })))
    liveness.close()
    await duties.close()
    await h.store.revokeLease((await h.store.range('l/', 'm')).kvs[1]!.lease)
    begin()
    const revision = h.store.revision
    await clock.advance(0)
    await liveness.alive(idOf(1), 'n1', 'boot')
    expect((await h.store.range('l/', 'm')).kvs[0]!.modRevision).toBeLessThanOrEqual(revision)
    await beat([1], 7000)
    expect([health(1), health(2), health(3)]).toEqual(['passing', 'passing', 'passing'])
    await beat([1], 3000)
    expect([health(1), health(2), health(3)]).toEqual(['passing', 'critical', 'critical'])
  })

  it('never gives up more than a share at once after it stood still itself', async () => {
    await open()
    const nodes = Array.from({ length: 20 }, (_, i) => i)
    for (const i of nodes) await join(i)
    await beat(nodes, 60_000)
    clock.stall(20_000)
    const dead = () => nodes.filter((i) => health(i) === 'critical').length
    await clock.advance(7500)
    expect(dead()).toBe(0)
    await clock.advance(1500)
    expect(dead()).toBe(6)
    // Those that come back are spared.
    await beat(nodes.slice(0, 10), 30_000)
    expect(nodes.filter((i) => health(i) === 'critical')).toEqual(nodes.slice(10))
  })

  it('gives up all that lapse when it did not stall', async () => {
    await open()
    const nodes = Array.from({ length: 20 }, (_, i) => i)
    for (const i of nodes) await join(i)
    await beat(nodes, 60_000)
    await clock.advance(10_000)
    expect(nodes.every((i) => health(i) === 'critical')).toBe(true)
  })

  it('tries again when the store fails', async () => {
    await open()
    const grant = h.store.grantLease.bind(h.store)
    h.store.grantLease = () => Promise.reject(new Error('disk'))
    expect(await liveness.alive(idOf(1), 'n1', 'boot')).toBe(false)
    h.store.grantLease = grant
    expect(await liveness.alive(idOf(1), 'n1', 'boot')).toBe(true)
  })
})

describe('failover returns', () => {
  const web = (status: 'passing' | 'critical') =>
    h.catalog.execute(
      register(nodeEntry('a'), [serviceEntry('a', 'web')], [checkEntry('a', 'c', { serviceId: 'web', status })]),
    )

  it('come after ten steady seconds, not sooner', async () => {
    await open()
    await web('passing')
    await web('critical')
    await clock.advance(30_000)
    expect(h.catalog.view.failover('web')).toBeDefined()
    await web('passing')
    await clock.advance(9500)
    expect(h.catalog.view.failover('web')).toBeDefined()
    await web('critical')
    await web('passing')
    await clock.advance(9500)
    expect(h.catalog.view.failover('web')).toBeDefined()
    await clock.advance(1000)
    expect(h.catalog.view.failover('web')).toBeUndefined()
  })
})

describe('reaping', () => {
  const minute = 60_000
  it('removes nodes that were dead for long, counted over restarts, and old outcomes', async () => {
    const options = { reapNodesAfterMs: 10 * minute, keepRequestsMs: 5 * minute }
    await open(options)
    await join(1)
    await h.catalog.execute(
      register(nodeEntry('external'), [], [checkEntry('external', SERF_HEALTH, { status: 'critical' })]),
    )
    await h.catalog.execute(kvPut('a', 'b'), { requestId: 'r' })
    await clock.advance(6.5 * minute)
    expect(h.catalog.view.signals.outcomes.size).toBe(0)
    expect(health(1)).toBe('critical')
    await duties.close()
    begin(options)
    await clock.advance(2.5 * minute)
    expect(h.catalog.view.node('n1')).toBeDefined()
    await clock.advance(3 * minute)
    expect(h.catalog.view.node('n1')).toBeUndefined()
    expect(h.catalog.view.node('external')).toBeDefined()
  })

  it('compacts where it is asked to', async () => {
    await open({ keepHistoryMs: 2 * minute })
    await h.catalog.execute(kvPut('a', 'b'))
    const { revision } = h.store
    await clock.advance(10 * minute)
    expect(h.store.status().compactedRevision).toBeGreaterThanOrEqual(revision)
  })
})

describe('a second server', () => {
  it('takes the lead when the first gives it back', async () => {
    await open()
    const second = await openCatalog({ store: h.store, datacenter: 'eu-1', clock, random: h.random, logger: silent })
    const status = h.store.status.bind(h.store)
    h.store.status = () => ({ ...status(), driver: 'etcd' })
    const other = startDuties({
      store: h.store,
      catalog: second,
      clock,
      random: h.random,
      logger: silent,
      self: { serverId: 't', address: 'h:2' },
    })
    await clock.advance(20_000)
    expect([duties.leading, other.leading]).toEqual([true, false])
    await duties.close()
    await clock.advance(3000)
    expect(other.leading).toBe(true)
    await other.close()
    await second.close()
  })
})
