/** What sequential keys promise, whoever makes them at the same time: no number twice, and later ones are higher. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SeededRandom, VirtualClock } from '../runtime/virtual.ts'
import type { Command } from './catalog.ts'
import { type OpenCatalog, openCatalog } from './open.ts'
import { kvDelete, kvPut, nodeEntry, register, sessionCreate } from './testing/entries.ts'
import { silent } from './testing/harness.ts'
import { MemoryStore } from './testing/memory-store.ts'

const S = 'aaaaaaaa-0000-0000-0000-000000000001'
const keyOf = (number: number): string => `q/${String(number).padStart(16, '0')}`
const numberOf = (key: string): number => Number(key.slice(2))

/** `held`: by a session, which `end` ends; `name`: writes a key with a number by its name. */
type Step = 'plain' | 'held' | 'end' | 'begin' | 'clear' | { readonly name: number }
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.constant('plain' as const) },
  { weight: 4, arbitrary: fc.constant('held' as const) },
  { weight: 1, arbitrary: fc.constantFrom('end' as const, 'begin' as const, 'clear' as const) },
  { weight: 2, arbitrary: fc.record({ name: fc.integer({ min: 1, max: 60 }) }) },
)

function commandOf(step: Step): Command {
  if (step === 'end') return { kind: 'session-destroy', session: S }
  if (step === 'begin') return sessionCreate(S, { behavior: 'delete', lockDelayMs: 0 })
  if (step === 'clear') return kvDelete('q/', { recurse: true })
  if (typeof step === 'object') return kvPut(keyOf(step.name), 'by name')
  return {
    kind: 'kv-sequence',
    prefix: 'q/',
    value: new Uint8Array(0),
    flags: 0n,
    session: step === 'held' ? S : '',
  }
}

describe('numbers under one prefix', () => {
  it.each([
    ['of one server with a store of its own', { remote: false, servers: 1 }],
    ['of two servers on one store', { remote: true, servers: 2 }],
  ])('%s', async (_, { remote, servers }) => {
    const rounds = fc.array(fc.array(fc.tuple(step, fc.nat(servers - 1)), { minLength: 1, maxLength: 30 }), {
      minLength: 1,
      maxLength: 5,
    })
    await fc.assert(
      fc.asyncProperty(rounds, async (script) => {
        const clock = new VirtualClock()
        const store = new MemoryStore({ clock, remote })
        const common = { store, datacenter: 'eu-1', clock, logger: silent }
        const catalogs: OpenCatalog[] = []
        for (let i = 0; i < servers; i++) catalogs.push(await openCatalog({ ...common, random: new SeededRandom(i) }))
        await catalogs[0]!.execute(register(nodeEntry('n1')))
        const made: { key: string; index: number }[] = []
        for (const round of script) {
          const highest = Math.max(0, ...made.map(({ key }) => numberOf(key)))
          const before = made.length
          const all = round.map(async ([step, at]) => {
            const { key, index } = await catalogs[at]!.execute(commandOf(step))
            if (key !== undefined) made.push({ key, index })
          })
          // Servers that conflict wait a moment.
          let running = true
          const settled = Promise.allSettled(all).finally(() => (running = false))
          while (running) {
            await new Promise((resolve) => setImmediate(resolve))
            await clock.advance(60)
          }
          await settled
          for (const { key } of made.slice(before)) expect(numberOf(key)).toBeGreaterThan(highest)
          const plain = round.filter(([step]) => step === 'plain').length
          expect(made.length - before).toBeGreaterThanOrEqual(plain)
        }
        expect(new Set(made.map(({ key }) => key)).size).toBe(made.length)
        // The order of the numbers is that of the writes.
        const byIndex = [...made].sort((a, b) => a.index - b.index).map(({ key }) => numberOf(key))
        expect(byIndex).toEqual([...byIndex].sort((a, b) => a - b))
        for (const catalog of catalogs) {
          expect(catalog.view.numbers.last('q/')).toBeUndefined()
          await catalog.close()
        }
        await store.close()
      }),
      { numRuns: 60 },
    )
  })
})
