/** What a lock promises, checked on all that ever was in a store to which two servers write at the same time. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SeededRandom, VirtualClock } from '../runtime/virtual.ts'
import type { RevisionEvents } from '../store/store.ts'
import { decodeKv, decodeSession } from './codec.ts'
import { type Duties, startDuties } from './duties/duties.ts'
import { type OpenCatalog, openCatalog } from './open.ts'
import { checkEntry, kvDelete, kvLock, kvPut, kvUnlock, nodeEntry, register, sessionCreate } from './testing/entries.ts'
import { silent } from './testing/harness.ts'
import { MemoryStore } from './testing/memory-store.ts'

const KEYS = ['a', 'b', 'c']
const idOf = (i: number) => `aaaaaaaa-0000-0000-0000-${String(i).padStart(12, '0')}`

type Step =
  | {
      readonly do: 'create'
      readonly session: number
      readonly delete: boolean
      readonly delayMs: number
      readonly ttl: boolean
    }
  | { readonly do: 'destroy' | 'renew'; readonly session: number }
  | { readonly do: 'lock' | 'unlock'; readonly session: number; readonly key: string }
  | { readonly do: 'put' | 'delete'; readonly key: string }
  | { readonly do: 'check'; readonly critical: boolean }
  | { readonly do: 'lead' }
  | { readonly do: 'wait'; readonly ms: number }

const session = fc.nat(4)
const key = fc.constantFrom(...KEYS)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('create' as const),
      session,
      delete: fc.boolean(),
      delayMs: fc.constantFrom(0, 1_000),
      ttl: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('destroy' as const, 'renew' as const), session }) },
  {
    weight: 10,
    arbitrary: fc.record({ do: fc.constantFrom('lock' as const, 'lock' as const, 'unlock' as const), session, key }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('put' as const, 'delete' as const), key }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('check' as const), critical: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lead' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(0, 300, 1_100, 12_000) }) },
)
/** Steps that begin at the same time, each at one of two servers. */
const rounds = fc.array(fc.array(fc.tuple(step, fc.nat(1)), { minLength: 1, maxLength: 5 }), {
  minLength: 1,
  maxLength: 25,
})

class World {
  readonly clock = new VirtualClock()
  readonly store = new MemoryStore({ clock: this.clock, remote: true })
  readonly history: RevisionEvents[] = []
  readonly random = new SeededRandom(1)
  servers: OpenCatalog[] = []
  duties: Duties[] = []
  /** Acknowledged acquisitions: the holder as it was told, with the index of its write. */
  readonly told: { key: string; session: string; index: number }[] = []

  async open(): Promise<void> {
    const { clock, store, random } = this
    this.store.watch('', '', 0, {
      onRevisions: (batch) => void this.history.push(...batch),
      onCompacted: () => {},
      onEnd: () => {},
    })
    for (let i = 0; i < 2; i++) {
      this.servers.push(await openCatalog({ store, datacenter: 'eu-1', clock, random, logger: silent }))
    }
    for (const catalog of this.servers) this.duties.push(this.#lead(catalog))
    await clock.advance(0)
    await this.servers[0]!.execute(register(nodeEntry('n1'), [], [checkEntry('n1', 'alive')]))
    await clock.advance(0)
  }

  #lead(catalog: OpenCatalog): Duties {
    const { clock, store, random } = this
    const self = { serverId: `s${this.servers.indexOf(catalog)}`, address: 'h:1' }
    return startDuties({ store, catalog, clock, random, logger: silent, self, leaseMs: 4_000 })
  }

  async close(): Promise<void> {
    for (const each of this.duties) await each.close()
    for (const each of this.servers) await each.close()
    await this.store.close()
  }

  async run(step: Step, at: number): Promise<void> {
    const catalog = this.servers[at]!
    switch (step.do) {
      case 'create': {
        const behavior = step.delete ? 'delete' : 'release'
        const ttl = step.ttl ? { ttl: '10s', ttlMs: 10_000 } : {}
        const rest = { behavior, lockDelayMs: step.delayMs, nodeChecks: ['alive'], ...ttl } as const
        return void (await catalog.execute(sessionCreate(idOf(step.session), rest)))
      }
      case 'destroy':
      case 'renew':
        return void (await catalog.execute({ kind: `session-${step.do}`, session: idOf(step.session) }))
      case 'lock': {
        const held = idOf(step.session)
        const { applied, index } = await catalog.execute(kvLock(step.key, held, String(this.random.float())))
        if (applied) this.told.push({ key: step.key, session: held, index })
        return
      }
      case 'unlock':
        return void (await catalog.execute(kvUnlock(step.key, idOf(step.session))))
      case 'put':
        return void (await catalog.execute(kvPut(step.key, String(this.random.float()))))
      case 'delete':
        return void (await catalog.execute(kvDelete(step.key)))
      case 'check': {
        const status = step.critical ? 'critical' : 'passing'
        return void (await catalog.execute({ kind: 'check-status', node: 'n1', checkId: 'alive', status, output: '' }))
      }
      case 'lead': {
        // The new one begins while the former may still believe to lead.
        const former = this.duties[at]!
        this.duties[at] = this.#lead(catalog)
        return former.close()
      }
      case 'wait':
        return this.clock.advance(step.ms)
    }
  }
}

/** Goes through all that was in the store, revision by revision. */
function checkHistory({ history, told }: World): void {
  const sessions = new Map<string, boolean>()
  const delays = new Set<string>()
  const held = new Map<string, { session: string; lockIndex: number }>()
  const holderAt = new Map<string, string>()
  for (const { revision, events } of history) {
    const before = new Map(held)
    for (const event of events) {
      const at = event.type === 'put' ? event.kv.key : event.key
      const rest = at.slice(4)
      if (at.startsWith('u/s/')) {
        if (event.type === 'put') sessions.set(rest, decodeSession(rest, event.kv.value, 1, 1).ending)
        else sessions.delete(rest)
      } else if (at.startsWith('u/d/')) {
        if (event.type === 'put') delays.add(rest)
        else delays.delete(rest)
      } else if (at.startsWith('k/')) {
        const name = at.slice(2)
        if (event.type === 'delete') held.delete(name)
        else {
          const { session, lockIndex } = decodeKv(name, event.kv.value, 1, 1)
          held.set(name, { session, lockIndex })
        }
      }
    }
    for (const [name, { session, lockIndex }] of held) {
      holderAt.set(`${revision} ${name}`, session)
      const was = before.get(name)
      if (session === '' || was?.session === session) continue
      // Somebody begins to hold it: nobody did, its session stands, no lock-delay does, and the count goes up.
      expect(was?.session ?? '').toBe('')
      expect(sessions.get(session)).toBe(false)
      expect(delays.has(name)).toBe(false)
      expect(lockIndex).toBe((was?.lockIndex ?? 0) + 1)
    }
    // Nothing is held by a session that is gone.
    for (const { session } of held.values()) if (session !== '') expect(sessions.has(session)).toBe(true)
  }
  for (const { key, session, index } of told) {
    const found = holderAt.get(`${index} ${key}`)
    // A write that changed nothing names the index of the tables, at which another key may have changed.
    if (found !== undefined) expect(found).toBe(session)
  }
}

describe('locks', () => {
  it('never have two holders, nor one whose session has ended, whoever writes and leads', async () => {
    await fc.assert(
      fc.asyncProperty(rounds, async (drawn) => {
        const world = new World()
        await world.open()
        try {
          for (const round of drawn) {
            const working = Promise.allSettled(round.map(([one, at]) => world.run(one, at)))
            await world.clock.advance(1_000)
            for (const { status, reason } of (await working) as PromiseRejectedResult[]) {
              if (status === 'rejected') expect(['invalid', 'conflict']).toContain(reason.code)
            }
          }
          await world.clock.advance(60_000)
          checkHistory(world)
          expect(world.history.length).toBeGreaterThan(0)
        } finally {
          await world.close()
        }
        expect(world.clock.pendingTimers).toBe(0)
      }),
      { numRuns: 100 },
    )
  }, 120_000)
})
