import { describe, expect, it } from 'vitest'
import { AtollError } from '../model/errors.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import { LiveAnswers, liveKey } from './live.ts'
import { type Answer, type AskOptions, anonymous, type Question } from './mesh.ts'

const web: Question<'service'> = { kind: 'service', service: 'web', passing: true, tags: [] }
const plain: AskOptions = { principal: anonymous, consistency: 'default', datacenter: 'us-1' }
const key = liveKey(web, plain, 'eu-1')!

/** A server whose answer is set by hand; waits are held until it changes or their time is over. */
class Server {
  readonly clock = new VirtualClock()
  readonly asked: AskOptions[] = []
  readonly live: LiveAnswers
  failure: Error | undefined
  #answer: Answer<unknown> = answerOf(7, ['a'])
  readonly #waiting = new Set<() => void>()

  constructor(max?: number, maxEntries?: number) {
    const { clock } = this
    this.live = new LiveAnswers({ clock, max, maxEntries, ask: (_, options) => this.#ask(options) })
  }

  set(answer: Answer<unknown>): void {
    this.#answer = answer
    for (const wake of [...this.#waiting]) wake()
  }

  get waiting(): number {
    return this.#waiting.size
  }

  async #ask(options: AskOptions): Promise<Answer<unknown>> {
    this.asked.push(options)
    await Promise.resolve()
    if (this.failure) throw this.failure
    if (options.index === this.#answer.index) await this.#change(options)
    return { ...this.#answer, value: [...(this.#answer.value as string[])] }
  }

  #change({ waitMs, signal }: AskOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#waiting.delete(end)
        timer.cancel()
        if (signal?.aborted) reject(signal.reason)
        else if (this.failure) reject(this.failure)
        else resolve()
      }
      const timer = this.clock.after(waitMs ?? 0, end)
      signal?.addEventListener('abort', end)
      this.#waiting.add(end)
    })
  }
}

const answerOf = (index: number, value: readonly string[]): Answer<unknown> => ({
  value,
  index,
  datacenter: 'us-1',
  source: 'replica',
  ageMs: 100,
  knownLeader: true,
  consistency: 'stale',
})

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}

describe('a question that is kept live', () => {
  it('is asked once, and then answered from memory, with its age', async () => {
    const { live, clock, asked } = new Server()
    expect(live.now(key)).toBeUndefined()
    const first = await live.ask(key, web, plain)
    await settle()
    await clock.advance(50)
    const again = live.now(key)
    expect(again).toMatchObject({ value: ['a'], index: 7, source: 'replica', ageMs: 150 })
    expect(again?.value).toBe(first.value)
    expect(asked.map(({ index }) => index)).toEqual([undefined, 7])
    live.close()
  })

  it('shows a change as soon as the server does', async () => {
    const server = new Server()
    await server.live.ask(key, web, plain)
    await settle()
    server.live.now(key)
    server.set(answerOf(8, ['a', 'b']))
    await settle()
    expect(server.live.now(key)).toMatchObject({ value: ['a', 'b'], index: 8, ageMs: 100 })
    server.live.close()
  })

  it('is confirmed every second without a change, as the same object, and grows no older than that', async () => {
    const { live, clock } = new Server()
    const { value } = await live.ask(key, web, plain)
    for (let i = 0; i < 50; i++) {
      await clock.advance(100)
      const answer = live.now(key)
      expect(answer?.value).toBe(value)
      expect(answer?.ageMs).toBeLessThanOrEqual(1100)
    }
    live.close()
  })

  it('is let go when nobody asks any more', async () => {
    const server = new Server()
    await server.live.ask(key, web, plain)
    await server.clock.advance(10_000)
    expect(server.asked).toHaveLength(2)
    expect(server.waiting).toBe(0)
    expect(server.clock.pendingTimers).toBe(0)
    expect(server.live.now(key)).toBeUndefined()
    await server.live.ask(key, web, plain)
    expect(server.asked.filter(({ index }) => index === undefined)).toHaveLength(2)
    server.live.close()
  })

  it('is asked once for all who ask at the same time', async () => {
    const { live, asked } = new Server()
    await Promise.all([live.ask(key, web, plain), live.ask(key, web, plain)])
    expect(asked.filter(({ index }) => index === undefined)).toHaveLength(1)
    live.close()
  })

  it('is bounded in number', async () => {
    const server = new Server(3)
    const keys = [...'abcde'].map((service) => liveKey({ ...web, service }, plain, 'eu-1')!)
    for (const each of keys) await server.live.ask(each, web, plain)
    expect(keys.map((each) => server.live.now(each) !== undefined)).toEqual([false, false, true, true, true])
    await server.clock.advance(5000)
    expect(server.waiting).toBe(0)
    server.live.close()
  })

  it('is bounded in what the answers hold together, also when they grow', async () => {
    const server = new Server(100, 10)
    const keys = [...'abcd'].map((service) => liveKey({ ...web, service }, plain, 'eu-1')!)
    const known = () => keys.map((each) => server.live.now(each) !== undefined)
    server.set(answerOf(7, ['1', '2', '3']))
    for (const each of keys) await server.live.ask(each, web, plain)
    expect(known()).toEqual([false, true, true, true])
    server.set(answerOf(8, ['1', '2', '3', '4', '5', '6']))
    await settle()
    await server.clock.advance(10)
    expect(known().filter((is) => is)).toHaveLength(1)
    server.set(answerOf(9, new Array(11).fill('x')))
    await settle()
    expect(known()).toEqual([false, false, false, false])
    await server.clock.advance(5_000)
    expect(server.waiting).toBe(0)
    server.live.close()
  })

  it('does not hammer a server that answers waits at once', async () => {
    const server = new Server()
    await server.live.ask(key, web, plain)
    for (let i = 0; i < 100; i++) {
      server.set(answerOf(8 + i, ['a']))
      await settle()
      server.live.now(key)
      await server.clock.advance(1)
    }
    expect(server.asked.length).toBeLessThan(30)
    server.live.close()
  })
})

describe('what this node wrote', () => {
  it('is not hidden by what stale asked of the own datacenter, or of the nearest', async () => {
    for (const datacenter of [undefined, 'nearest']) {
      const server = new Server()
      const stale: AskOptions = { principal: anonymous, consistency: 'stale', datacenter }
      const own = liveKey(web, stale, 'eu-1')!
      await server.live.ask(own, web, stale)
      await settle()
      expect(server.live.now(own)).toMatchObject({ value: ['a'] })
      server.live.forget('eu-1')
      expect(server.live.now(own)).toBeUndefined()
      server.live.close()
    }
  })

  it('is never hidden by what was known before', async () => {
    const server = new Server()
    await server.live.ask(key, web, plain)
    await settle()
    server.live.forget('us-1')
    expect(server.live.now(key)).toBeUndefined()
    server.set(answerOf(8, ['b']))
    await settle()
    expect(server.live.now(key)).toBeUndefined()
    expect(await server.live.ask(key, web, plain)).toMatchObject({ value: ['b'] })
    server.live.close()
  })

  it('is not hidden by an answer that was asked for before', async () => {
    const server = new Server()
    const asking = server.live.ask(key, web, plain)
    server.live.forget('us-1')
    await asking
    expect(server.live.now(key)).toBeUndefined()
    server.live.close()
  })
})

describe('when no server can be reached', () => {
  const unavailable = new AtollError('unavailable', 'nobody')

  it('the last answer is told, and how old it is', async () => {
    const server = new Server()
    await server.live.ask(key, web, plain)
    await settle()
    server.live.now(key)
    server.failure = unavailable
    server.set(answerOf(9, ['never seen']))
    await server.clock.advance(60_000)
    expect(server.live.now(key)).toBeUndefined()
    const answer = await server.live.ask(key, web, plain)
    expect(answer).toMatchObject({ value: ['a'], knownLeader: false, ageMs: 60_100 })
    server.failure = undefined
    expect(await server.live.ask(key, web, plain)).toMatchObject({ value: ['never seen'], knownLeader: true })
    server.live.close()
  })

  it('what was never known fails, and so does any other error', async () => {
    const server = new Server()
    server.failure = unavailable
    await expect(server.live.ask(key, web, plain)).rejects.toBe(unavailable)
    server.failure = undefined
    await server.live.ask(key, web, plain)
    server.failure = new AtollError('no-path', 'gone')
    await server.clock.advance(10_000)
    await expect(server.live.ask(key, web, plain)).rejects.toMatchObject({ code: 'no-path' })
    server.live.close()
  })
})

describe('which questions are kept', () => {
  it.each<[string, Question, Partial<AskOptions>]>([
    ['of the own datacenter', web, { datacenter: 'eu-1' }],
    ['about an address', { kind: 'address', address: '10.0.0.1' }, {}],
    ['without one', web, { datacenter: undefined }],
    ['to the nearest', web, { datacenter: 'nearest' }],
    ['to all', web, { datacenter: '*' }],
    ['that want consistency', web, { consistency: 'consistent' }],
    ['about KV', { kind: 'kv', key: 'a' }, {}],
    ['in order of distance', { ...web, near: 'n1' }, {}],
  ])('not those %s', (_, question, options) => {
    expect(liveKey(question, { ...plain, ...options }, 'eu-1')).toBeUndefined()
  })

  it('each token its own', () => {
    expect(liveKey(web, { ...plain, principal: { token: 'x' } }, 'eu-1')).not.toBe(key)
    expect(liveKey(web, { ...plain }, 'eu-1')).toBe(key)
  })
})
