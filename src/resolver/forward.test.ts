/** Forwarded writes over ways that lose, double and delay, to servers that end in between: applied once, or reported as unknown. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Command, CommandResult } from '../catalog/catalog.ts'
import { openCatalog } from '../catalog/open.ts'
import { kvPut } from '../catalog/testing/entries.ts'
import { type Harness, openHarness, silent } from '../catalog/testing/harness.ts'
import { AtollError, isAtollError } from '../model/errors.ts'
import { SeededRandom } from '../runtime/virtual.ts'
import { Forwarder } from './forward.ts'
import { anonymous } from './mesh.ts'
import { FakeFederation, server as peer } from './testing/fakes.ts'

let h: Harness
let closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers) await close()
  closers = []
  await h.close()
})

/** What becomes of one delivery. */
type Fate = 'arrives' | 'request lost' | 'answer lost' | 'doubled' | 'server ends' | 'refused'
const FATES: readonly Fate[] = ['arrives', 'request lost', 'answer lost', 'doubled', 'server ends', 'refused']

interface Gateway {
  deliver(payload: unknown): Promise<unknown>
  restart(): Promise<void>
}

/** A server of eu-1; all of them share one store. */
async function gateway(): Promise<Gateway> {
  const open = async () => {
    const { clock, random, store } = h
    const catalog = await openCatalog({ store, datacenter: 'eu-1', clock, random, logger: silent })
    const federation = new FakeFederation()
    new Forwarder({ federation, clock, random, datacenter: 'eu-1' }).serve(
      { ask: () => Promise.reject(new Error('not asked')) },
      ({ command, requestId }) => catalog.execute(command, { requestId }),
    )
    return { catalog, federation }
  }
  let running = await open()
  closers.push(() => running.catalog.close())
  return {
    deliver: (payload) =>
      running.federation.handlers.get('mesh.execute')!(payload, {
        peer: { ...peer, datacenter: 'us-1' },
        signal: new AbortController().signal,
      } as never),
    async restart() {
      await running.catalog.close()
      running = await open()
    },
  }
}

/** A node of us-1 that writes to the gateways in turn, and what the way does to each of its calls. */
async function writer(fateOf: () => Fate, gateways: number) {
  h = await openHarness()
  const all = await Promise.all(Array.from({ length: gateways }, gateway))
  const federation = new FakeFederation()
  const timeout = (): Promise<never> =>
    h.clock.sleep(2000).then(() => Promise.reject(new AtollError('timeout', 'late')))
  let turn = 0
  const carry = (to: Gateway, payload: unknown): Promise<unknown> => {
    const delivery = to.deliver(payload)
    delivery.catch(() => {})
    return delivery
  }
  federation.onCall = async (_method, payload) => {
    const to = all[turn++ % all.length]!
    switch (fateOf()) {
      case 'arrives':
        return carry(to, payload)
      case 'refused':
        throw new AtollError('unavailable', 'not connected')
      case 'request lost':
        return timeout()
      case 'answer lost':
        await carry(to, payload)
        return timeout()
      case 'doubled':
        // The copy goes to the other gateway, at the same time.
        return (await Promise.all([carry(to, payload), carry(all[turn % all.length]!, payload)]))[0]
      case 'server ends':
        await carry(to, payload).catch(() => {})
        await to.restart()
        return timeout()
    }
  }
  const forwarder = new Forwarder({ federation, clock: h.clock, random: h.random, datacenter: 'us-1' })
  const send = async (command: Command): Promise<CommandResult> => {
    const result = forwarder.execute('eu-1', 'eu-1', command, { principal: anonymous })
    let done = false
    const end = (): void => {
      done = true
    }
    result.then(end, end)
    while (!done) await h.clock.advance(50)
    return result
  }
  const put = (key: string): Promise<string> =>
    send(kvPut(key, 'x', { cas: 0 })).then(
      ({ applied }) => (applied ? 'applied' : 'not applied'),
      (error: unknown) => (isAtollError(error) ? error.code : String(error)),
    )
  return { put, send, federation }
}

const inTurn = (...fates: Fate[]) => {
  let next = 0
  return (): Fate => fates[Math.min(next++, fates.length - 1)]!
}

describe('a forwarded write', () => {
  it.each([
    ['whose answer is lost', ['answer lost', 'arrives'], 'applied'],
    ['whose request is lost', ['request lost', 'arrives'], 'applied'],
    ['that arrives twice', ['doubled'], 'applied'],
    ['whose server ends after it was done, and starts again', ['server ends', 'arrives'], 'applied'],
    ['whose every answer is lost', ['answer lost'], 'unknown-outcome'],
    ['that never arrives', ['request lost'], 'unknown-outcome'],
    ['that nobody takes', ['refused'], 'unavailable'],
    ['that may have arrived before nobody takes it any more', ['answer lost', 'refused'], 'unknown-outcome'],
  ] as const)('%s', async (_, fates, expected) => {
    for (const gateways of [1, 2]) {
      const { put, federation } = await writer(inTurn(...fates), gateways)
      // A second application would find the key there, and say "not applied".
      expect(await put('a')).toBe(expected)
      const ids = new Set(federation.calls.map(({ payload }) => (payload as { requestId: string }).requestId))
      expect(ids.size).toBe(1)
      if (gateways === 2) continue
      for (const close of closers) await close()
      closers = []
      await h.close()
    }
  })

  it.each(['answer lost', 'server ends', 'doubled'] as const)(
    'a transaction is answered whole, though: %s',
    async (fate) => {
      const { send } = await writer(inTurn(fate, 'arrives'), 2)
      const { value, flags } = kvPut('a', 'x') as { value: Uint8Array; flags: bigint }
      const of = (verb: string, key: string) =>
        ({ type: 'kv', verb, key, value, flags, index: 0, session: '' }) as const
      const { index, txn } = await send({ kind: 'txn', operations: [of('set', 'a'), of('set', 'b')] })
      expect(txn?.entries.map(({ row }) => row.modifyIndex)).toEqual([index, index])
      expect(h.catalog.view.kv('b')?.modifyIndex).toBe(index)
    },
  )

  it('is applied once or reported as unknown, whatever happens on the way', async () => {
    const random = new SeededRandom(5)
    const { put } = await writer(() => FATES[Math.floor(random.float() * FATES.length)]!, 2)
    const outcomes = new Map<string, number>()
    for (let i = 0; i < 150; i++) {
      const outcome = await put(`key-${i}`)
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      const there = h.catalog.view.kv(`key-${i}`) !== undefined
      if (outcome === 'applied') expect(there).toBe(true)
      else if (outcome === 'unavailable') expect(there).toBe(false)
      else expect(outcome).toBe('unknown-outcome')
    }
    expect(outcomes.get('applied')).toBeGreaterThan(100)
    expect(outcomes.get('not applied')).toBeUndefined()
  })
})
