/** A client that holds a lock now and then, by sessions that it renews, ends, or forgets, and writes down what it did and heard. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isClientError } from '../../src/client/client.ts'
import type { SeededRandom } from '../../src/runtime/virtual.ts'
import { pick } from './faults.ts'
import type { Recorded } from './history.ts'
import { assertExpected, type ClientOptions, isNothingDone, isStale, thinkMs, timeoutOf } from './kv-client.ts'
import type { LockOp } from './lock-model.ts'

/** The shortest there is. */
const TTL_MS = 10_000
/** Half of the sessions are ended within this; the others live on, or lapse. */
const SHORT_MS = 4_000
const AFTER_FAILURE_MS = 50
/** Lock-delay of some sessions; the others have none. */
const DELAY_MS = 1_500

interface Session {
  readonly id: string
  /** Nobody renews it any more: it will lapse. */
  readonly isForgotten: boolean
  /** How long it goes without being renewed. Above the TTL it may be too late. */
  readonly renewEveryMs: number
  renewedMs: number
  /** When its client ends it. */
  readonly endsMs: number
}

/** In time, or, in terms of the TTL, around the 1.5 at which it lapses: it is then that leaders err. */
const renewal = (random: SeededRandom): number =>
  random.float() < 0.5 ? 0.1 + 0.8 * random.float() : 1.4 + 0.6 * random.float()

export class LockClient {
  readonly recorded: Recorded<LockOp>[] = []
  readonly acknowledged: { key: string; value: string }[] = []
  readonly refused: { key: string; value: string }[] = []
  readonly #o: ClientOptions
  readonly #key: string
  #session: Session | undefined
  #next = 0

  constructor(options: ClientOptions, key: string) {
    this.#o = options
    this.#key = key
  }

  async run(): Promise<void> {
    const { isOver, random } = this.#o
    while (!isOver()) {
      const went = await this.#once()
      await sleep(went ? 5 + 2 * thinkMs(random) : AFTER_FAILURE_MS)
    }
  }

  /** Reads the lock and the last session. */
  async readAll(node: number): Promise<void> {
    await this.#get(node)
    if (this.#session) await this.#info(this.#session.id, node)
  }

  #once(): Promise<boolean> {
    const { random, nodes, home } = this.#o
    const node = random.float() < 0.6 ? home : Math.floor(random.float() * nodes.clients.length)
    const session = this.#session
    if (!session) return this.#create(node)
    if (performance.now() > session.endsMs) return this.#destroy(session.id, node)
    const isDue = performance.now() - session.renewedMs > session.renewEveryMs
    if (isDue && !session.isForgotten) return this.#renew(session, node)
    const what = random.float()
    if (what < 0.4) return this.#acquire(session.id, node)
    if (what < 0.55) return this.#get(node)
    if (what < 0.7) return this.#release(session.id, node)
    return this.#info(session.id, node)
  }

  async #create(node: number): Promise<boolean> {
    const { random } = this.#o
    const behavior = pick(random, ['release', 'release', 'release', 'delete'] as const)
    const kind = random.float()
    const fragile = kind < 0.1
    const ttlMs = kind < 0.3 ? 0 : TTL_MS
    const delayMs = random.float() < 0.2 ? DELAY_MS : 0
    const callMs = performance.now()
    const created = await this.#call(node, (client, timeoutMs) =>
      client.session.create(
        {
          LockDelay: `${delayMs}ms`,
          Behavior: behavior,
          ...(ttlMs > 0 && { TTL: `${ttlMs}ms` }),
          ...(!fragile && { NodeChecks: [] }),
        },
        { timeoutMs },
      ),
    )
    // One whose id nobody knows is never used.
    if (!created.ok) return false
    const session = created.value
    this.#session = {
      id: session,
      isForgotten: ttlMs > 0 && random.float() < 0.2,
      renewEveryMs: ttlMs === 0 ? Number.POSITIVE_INFINITY : TTL_MS * renewal(random),
      renewedMs: performance.now(),
      endsMs: random.float() < 0.5 ? performance.now() + SHORT_MS * random.float() : Number.POSITIVE_INFINITY,
    }
    this.#record(node, { kind: 'create', session, ttlMs, fragile, behavior, delayMs }, callMs)
    return true
  }

  async #renew(session: Session, node: number): Promise<boolean> {
    const callMs = performance.now()
    const renewed = await this.#call(node, (client, timeoutMs) => client.session.renew(session.id, { timeoutMs }))
    if (!renewed.ok) return false
    const stands = renewed.value !== undefined
    this.#record(node, { kind: 'renew', session: session.id, stands }, callMs)
    session.renewedMs = performance.now()
    if (!stands) this.#session = undefined
    return true
  }

  async #info(session: string, node: number): Promise<boolean> {
    const callMs = performance.now()
    const answer = await this.#call(node, (client, timeoutMs) =>
      client.session.info(session, { consistent: true, timeoutMs }),
    )
    if (!answer.ok) return false
    const stands = answer.value.value !== undefined
    this.#record(node, { kind: 'info', session, stands }, callMs)
    if (!stands) this.#session = undefined
    return true
  }

  async #destroy(session: string, node: number): Promise<boolean> {
    const callMs = performance.now()
    const answer = await this.#call(node, (client, timeoutMs) => client.session.destroy(session, { timeoutMs }))
    this.#session = undefined
    if (answer.ok) this.#record(node, { kind: 'destroy', session, applied: true }, callMs)
    else if (!answer.nothingDone) this.#open(node, { kind: 'destroy', session }, callMs)
    return answer.ok
  }

  async #acquire(session: string, node: number): Promise<boolean> {
    const value = `${this.#o.name}-${++this.#next}`
    const op = { kind: 'acquire', session, value } as const
    const callMs = performance.now()
    const answer = await this.#call(node, (client, timeoutMs) =>
      client.kv.put(this.#key, value, { acquire: session, timeoutMs }),
    )
    if (answer.ok) {
      this.#note(answer.value, value)
      this.#record(node, { ...op, outcome: answer.value ? 'held' : 'not-free' }, callMs)
      return true
    }
    if (answer.refused) {
      this.#note(false, value)
      this.#record(node, { ...op, outcome: 'refused' }, callMs)
      return true
    }
    if (answer.nothingDone) this.#note(false, value)
    else this.#open(node, op, callMs)
    return false
  }

  async #release(session: string, node: number): Promise<boolean> {
    const value = `${this.#o.name}-${++this.#next}`
    const op = { kind: 'release', session, value } as const
    const callMs = performance.now()
    const answer = await this.#call(node, (client, timeoutMs) =>
      client.kv.put(this.#key, value, { release: session, timeoutMs }),
    )
    if (answer.ok) {
      this.#note(answer.value, value)
      this.#record(node, { ...op, applied: answer.value }, callMs)
      return true
    }
    if (answer.nothingDone) this.#note(false, value)
    else this.#open(node, op, callMs)
    return false
  }

  async #get(node: number): Promise<boolean> {
    const callMs = performance.now()
    const answer = await this.#call(node, (client, timeoutMs) => client.kv.get(this.#key, { timeoutMs }))
    if (!answer.ok) return false
    const { value: pair, meta } = answer.value
    if (isStale(meta)) {
      this.#o.counts.stale++
      return true
    }
    const value = pair ? new TextDecoder().decode(pair.value) : null
    const op = { kind: 'get', holder: pair?.session ?? '', lockIndex: pair?.lockIndex ?? 0, value } as const
    this.#record(node, op, callMs)
    return true
  }

  async #call<T>(
    node: number,
    send: (client: ClientOptions['nodes']['clients'][number], timeoutMs: number) => Promise<T>,
  ): Promise<{ ok: true; value: T } | { ok: false; nothingDone: boolean; refused: boolean }> {
    const { nodes, random, counts } = this.#o
    try {
      return { ok: true, value: await send(nodes.clients[node]!, timeoutOf(random)) }
    } catch (error) {
      assertExpected(error)
      // Consul's words, and all that a client gets.
      const refused = isClientError(error) && error.status === 500 && error.message.includes('invalid session')
      if (!refused) counts.failed++
      return { ok: false, nothingDone: isNothingDone(error), refused }
    }
  }

  #note(applied: boolean, value: string): void {
    const { acknowledged, refused } = this
    if (applied) acknowledged.push({ key: this.#key, value })
    else refused.push({ key: this.#key, value })
  }

  #record(node: number, op: LockOp, callMs: number, returnMs = performance.now()): void {
    this.recorded.push({ key: this.#key, node: this.#o.nodes.names[node]!, op, callMs, returnMs })
  }

  #open(node: number, op: LockOp, callMs: number): void {
    this.#record(node, op, callMs, Number.POSITIVE_INFINITY)
  }
}
