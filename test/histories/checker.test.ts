import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../src/runtime/virtual.ts'
import { check, type Model, type Operation } from './checker.ts'
import { type KvOp, kvModel } from './kv-model.ts'
import { type LockOp, lockModel, withLapses } from './lock-model.ts'

const NEVER = Number.POSITIVE_INFINITY
const at = <Op>(callMs: number, returnMs: number, op: Op): Operation<Op> => ({ op, callMs, returnMs })
const put = (value: string, applied: boolean | undefined = true, cas?: number): KvOp => ({
  kind: 'put',
  value,
  ...(applied !== undefined && { applied }),
  ...(cas !== undefined && { cas }),
})
const get = (value: string | null, index = value === null ? 0 : Number(value.replace(/\D/g, ''))): KvOp => ({
  kind: 'get',
  value,
  index,
})

function kv(operations: readonly Operation<KvOp>[]): string {
  const { model, narrowed, contradictions } = kvModel(operations)
  return contradictions[0]?.what ?? check(narrowed, model).verdict
}
const lock = (operations: readonly Operation<LockOp>[]): string => check(withLapses(operations), lockModel).verdict

describe('histories of a key', () => {
  const cases: readonly [string, string, readonly Operation<KvOp>[]][] = [
    ['nothing', 'linearizable', []],
    ['a read of what was written', 'linearizable', [at(0, 1, put('v1')), at(2, 3, get('v1'))]],
    ['a stale read', 'not-linearizable', [at(0, 1, put('v1')), at(2, 3, put('v2')), at(4, 5, get('v1'))]],
    ['a read of nothing after a write', 'not-linearizable', [at(0, 1, put('v1')), at(2, 3, get(null))]],
    ['reads that overlap a write', 'linearizable', [at(0, 9, put('v1')), at(1, 2, get(null)), at(3, 4, get('v1'))]],
    ['reads that go back', 'not-linearizable', [at(0, 9, put('v1')), at(1, 2, get('v1')), at(3, 4, get(null))]],
    [
      'a read that joined an earlier one',
      'not-linearizable',
      [at(0, 1, put('v1')), at(2, 20, get('v1')), at(3, 5, put('v2')), at(6, 20, get('v1'))],
    ],
    [
      'a lost update: both compare-and-sets of one index hold',
      'not-linearizable',
      [at(0, 1, put('v1')), at(2, 3, get('v1')), at(4, 9, put('v2', true, 1)), at(4, 9, put('v3', true, 1))],
    ],
    [
      'one of two compare-and-sets holds',
      'linearizable',
      [at(0, 1, put('v1')), at(2, 3, get('v1')), at(4, 9, put('v2', true, 1)), at(4, 9, put('v3', false, 1))],
    ],
    [
      'a compare-and-set that was applied and sent again',
      'not-linearizable',
      [at(0, 1, put('v1')), at(2, 3, get('v1')), at(4, 9, put('v2', false, 1)), at(10, 11, get('v2'))],
    ],
    [
      'a write that was applied twice',
      'a value with two indexes',
      [at(0, 9, put('v1')), at(1, 2, put('v2')), at(3, 4, get('v1')), at(10, 11, get('v1', 7))],
    ],
    [
      'writes whose indexes are not in their order',
      'not-linearizable',
      [at(0, 1, put('v5')), at(2, 3, put('v4')), at(4, 5, get('v4')), at(0, 1.5, get('v5'))],
    ],
    ['a value from nowhere', 'a value that nobody wrote', [at(0, 1, get('v1'))]],
    ['an open write that was seen', 'linearizable', [at(0, NEVER, put('v1', undefined)), at(5, 6, get('v1'))]],
    ['an open write that never was', 'linearizable', [at(0, NEVER, put('v1', undefined)), at(5, 6, get(null))]],
    [
      'an open write that came late',
      'linearizable',
      [at(0, NEVER, put('v9', undefined)), at(1, 2, put('v2')), at(3, 4, get('v2')), at(5, 6, get('v9'))],
    ],
    [
      'an open write that was seen before it was sent',
      'not-linearizable',
      [at(1, 2, get('v9')), at(5, NEVER, put('v9', undefined))],
    ],
    [
      'an open write that is seen and gone again',
      'not-linearizable',
      [at(0, NEVER, put('v9', undefined)), at(1, 2, get('v9')), at(3, 4, get(null))],
    ],
    [
      'a delete that somebody asked for and nobody knows of',
      'linearizable',
      [at(0, 1, put('v1')), at(2, NEVER, { kind: 'delete' }), at(3, 4, get('v1')), at(5, 6, get(null))],
    ],
    [
      'a key that returns after its delete',
      'not-linearizable',
      [at(0, 1, put('v1')), at(2, 3, { kind: 'delete', applied: true }), at(4, 5, get('v1'))],
    ],
    [
      'a delete of another index',
      'not-linearizable',
      [
        at(0, 1, put('v1')),
        at(1, 2, get('v1')),
        at(2, 3, put('v2')),
        at(4, 5, { kind: 'delete', cas: 1, applied: true }),
      ],
    ],
  ]
  it.each(cases)('%s: %s', (_, verdict, operations) => {
    expect(kv(operations)).toBe(verdict)
  })

  it('shows how far it got', () => {
    const operations = [at(0, 1, put('v1')), at(2, 3, put('v2')), at(4, 5, get('v1'))]
    const found = check(operations, kvModel(operations).model)
    expect(found).toMatchObject({ order: operations.slice(0, 2), blocked: operations[2] })
  })
})

describe('histories of a lock', () => {
  const create = (session: string, ttlMs = 0, behavior: 'release' | 'delete' = 'release'): LockOp => ({
    kind: 'create',
    session,
    ttlMs,
    fragile: false,
    behavior,
  })
  const acquire = (session: string, outcome?: 'held' | 'not-free' | 'refused'): LockOp => ({
    kind: 'acquire',
    session,
    value: `of ${session}`,
    ...(outcome && { outcome }),
  })
  const held = (holder: string, lockIndex: number, value: string | null = `of ${holder}`): LockOp => ({
    kind: 'get',
    holder,
    lockIndex,
    value,
  })
  const two = [at(0, 1, create('a', 100)), at(0, 1, create('b'))]
  const cases: readonly [string, string, readonly Operation<LockOp>[]][] = [
    ['one holds it', 'linearizable', [...two, at(2, 3, acquire('a', 'held')), at(4, 5, acquire('b', 'not-free'))]],
    ['a split brain', 'not-linearizable', [...two, at(2, 9, acquire('a', 'held')), at(2, 9, acquire('b', 'held'))]],
    [
      'a session that ended too early',
      'not-linearizable',
      [...two, at(2, 3, acquire('a', 'held')), at(98, 99, acquire('b', 'held'))],
    ],
    [
      'a session that lapsed',
      'linearizable',
      [...two, at(2, 3, acquire('a', 'held')), at(101, 102, acquire('b', 'held'))],
    ],
    [
      'a session that ended although it was renewed',
      'not-linearizable',
      [
        ...two,
        at(2, 3, acquire('a', 'held')),
        at(90, 91, { kind: 'renew', session: 'a', stands: true }),
        at(150, 151, acquire('b', 'held')),
      ],
    ],
    ...[
      ['a lock-delay that was cut short', 'not-linearizable', 30, 'held'],
      ['a lock-delay that was kept', 'linearizable', 30, 'not-free'],
      ['a lock-delay that is over', 'linearizable', 60, 'held'],
      ['a lock-delay that still counts, as its leader saw the end late', 'linearizable', 60, 'not-free'],
    ].map(([what, verdict, atMs, outcome]): [string, string, Operation<LockOp>[]] => [
      what as string,
      verdict as string,
      [
        at(0, 1, { kind: 'create', session: 'd', ttlMs: 0, fragile: false, behavior: 'delete', delayMs: 50 }),
        at(0, 1, create('b')),
        at(2, 3, acquire('d', 'held')),
        at(4, 5, { kind: 'destroy', session: 'd', applied: true }),
        at(6, 7, held('', 0, null)),
        at(atMs as number, (atMs as number) + 1, acquire('b', outcome as 'held')),
      ],
    ]),
    [
      'a session that is there again',
      'not-linearizable',
      [
        ...two,
        at(110, 111, { kind: 'info', session: 'a', stands: false }),
        at(112, 113, { kind: 'info', session: 'a', stands: true }),
      ],
    ],
    [
      'a destroyed session that still acquires',
      'not-linearizable',
      [...two, at(2, 3, { kind: 'destroy', session: 'b', applied: true }), at(4, 5, acquire('b', 'held'))],
    ],
    [
      'the count of acquisitions',
      'linearizable',
      [
        ...two,
        at(2, 3, acquire('a', 'held')),
        at(4, 5, { kind: 'release', session: 'a', value: 'r', applied: true }),
        at(6, 7, held('', 1, 'r')),
        at(8, 9, acquire('b', 'held')),
        at(10, 11, held('b', 2)),
      ],
    ],
    [
      'a number given out twice',
      'not-linearizable',
      [
        ...two,
        at(2, 3, acquire('a', 'held')),
        at(4, 5, { kind: 'release', session: 'a', value: 'r', applied: true }),
        at(8, 9, acquire('b', 'held')),
        at(10, 11, held('b', 1)),
      ],
    ],
    [
      'an open acquisition that was made',
      'linearizable',
      [...two, at(2, NEVER, acquire('a')), at(4, 5, acquire('b', 'not-free')), at(6, 7, held('a', 1))],
    ],
    [
      'a key that goes with its session',
      'linearizable',
      [
        at(0, 1, create('a', 0, 'delete')),
        at(2, 3, acquire('a', 'held')),
        at(4, 5, { kind: 'destroy', session: 'a', applied: true }),
        at(6, 7, held('', 0, null)),
      ],
    ],
  ]
  it.each(cases)('%s: %s', (_, verdict, operations) => {
    expect(lock(operations)).toBe(verdict)
  })
})

/** Tries every order of every choice of the open ones. */
function byForce<State, Op>(operations: readonly Operation<Op>[], model: Model<State, Op>): boolean {
  const from = (state: State, left: readonly Operation<Op>[]): boolean => {
    if (left.every(({ returnMs }) => returnMs === NEVER)) return true
    const firstReturnMs = Math.min(...left.map(({ returnMs }) => returnMs))
    return left.some((each) => {
      if (each.callMs > firstReturnMs) return false
      const next = model.step(state, each.op)
      return (
        next !== undefined &&
        from(
          next,
          left.filter((other) => other !== each),
        )
      )
    })
  }
  return from(model.initial, operations)
}

/** What clients see of one copy, each operation taking effect at some moment between its call and its return. */
function recorded(random: SeededRandom, count: number, concurrency: number, openShare: number): Operation<KvOp>[] {
  const pick = (below: number): number => Math.floor(random.float() * below)
  const effects = Array.from({ length: count }, (_, i) => {
    const middle = i
    const early = random.float() * concurrency
    return { callMs: middle - early, middle, returnMs: middle + random.float() * concurrency }
  })
  let value: string | null = null
  let index = 0
  let known: number[] = [0]
  return effects.map(({ callMs, middle, returnMs }) => {
    const isOpen = random.float() < openShare
    const end = isOpen ? NEVER : returnMs
    const kind = pick(10)
    if (kind < 5) {
      if (value !== null) known = [...known.slice(-3), index]
      return at(callMs, returnMs, { kind: 'get', value, index: value === null ? 0 : index } as const)
    }
    const cas = kind < 7 ? undefined : known[pick(known.length)]!
    const holds = cas === undefined || cas === (value === null ? 0 : index)
    const happens = holds && !(isOpen && random.float() < 0.5)
    const outcome = isOpen ? {} : { applied: holds }
    if (kind === 9 && cas !== 0) {
      const gone = value === null || holds
      if (gone && happens) value = null
      return at(callMs, end, {
        kind: 'delete',
        ...(cas !== undefined && { cas }),
        ...(isOpen ? {} : { applied: gone }),
      })
    }
    const mine = `v${middle}`
    if (happens) {
      value = mine
      index = middle + 1
    }
    return at(callMs, end, { kind: 'put', value: mine, ...(cas !== undefined && { cas }), ...outcome })
  })
}

/** As `recorded`, of a lock that two sessions want, of which one may be destroyed. */
function recordedLock(random: SeededRandom, count: number, concurrency: number): Operation<LockOp>[] {
  const sessions = ['a', 'b']
  let state = lockModel.initial
  const made = sessions.map((session) => {
    const op = { kind: 'create', session, ttlMs: 0, fragile: false, behavior: 'release' } as const
    state = lockModel.step(state, op)!
    return at<LockOp>(-20, -10, op)
  })
  const done = Array.from({ length: count }, (_, i) => {
    const [callMs, returnMs] = [i - random.float() * concurrency, i + random.float() * concurrency]
    const session = sessions[Math.floor(random.float() * 2)]!
    const { holder, lockIndex, value } = state
    const stands = state.sessions[session] !== undefined
    const open = random.float() < 0.1
    const what = random.float()
    let op: LockOp = { kind: 'get', holder, lockIndex, value }
    if (what < 0.4) {
      const outcome = !stands ? 'refused' : holder === '' || holder === session ? 'held' : 'not-free'
      op = { kind: 'acquire', session, value: `v${i}`, ...(!open && { outcome }) }
    } else if (what < 0.6) {
      op = { kind: 'release', session, value: `v${i}`, ...(!open && { applied: holder === session }) }
    } else if (what < 0.65) op = { kind: 'destroy', session, ...(!open && { applied: true }) }
    else if (what < 0.8) op = { kind: 'info', session, stands }
    const isOpen = open && op.kind !== 'get' && op.kind !== 'info'
    if (!isOpen || random.float() < 0.5) state = lockModel.step(state, op)!
    return at(callMs, isOpen ? NEVER : returnMs, op)
  })
  return [...made, ...done]
}

/** One outcome is another one. */
function mutated(operations: readonly Operation<KvOp>[], random: SeededRandom): Operation<KvOp>[] {
  const reads = operations.flatMap(({ op }) => (op.kind === 'get' ? [op] : []))
  const which = Math.floor(random.float() * operations.length)
  return operations.map((each, i) => {
    const { op } = each
    if (i !== which) return each
    if (op.kind === 'get') return { ...each, op: reads[Math.floor(random.float() * reads.length)]! }
    return op.applied === undefined ? each : { ...each, op: { ...op, applied: !op.applied } }
  })
}

function otherOutcome(op: LockOp): LockOp {
  if (op.kind === 'acquire' && op.outcome) return { ...op, outcome: op.outcome === 'held' ? 'not-free' : 'held' }
  if (op.kind === 'release' && op.applied !== undefined) return { ...op, applied: !op.applied }
  if (op.kind === 'info') return { ...op, stands: !op.stands }
  return op.kind === 'get' ? { ...op, lockIndex: op.lockIndex + 1 } : op
}

describe('any history', () => {
  it('is accepted when one copy gave the answers', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 6 }), (seed, count, overlap) => {
        expect(kv(recorded(new SeededRandom(seed), count, overlap, 0.1))).toBe('linearizable')
      }),
      { numRuns: 300 },
    )
  })

  it('is judged as by trying all orders', () => {
    let refused = 0
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 2, max: 9 }), fc.integer({ min: 1, max: 4 }), (seed, count, overlap) => {
        const random = new SeededRandom(seed)
        const operations = mutated(recorded(random, count, overlap, 0.15), random)
        const { model, narrowed } = kvModel(operations)
        const truth = byForce(operations, model)
        if (!truth) refused++
        expect(check(narrowed, model).verdict).toBe(truth ? 'linearizable' : 'not-linearizable')
      }),
      { numRuns: 1000 },
    )
    expect(refused).toBeGreaterThan(100)
  })

  it('of a lock is accepted when one copy gave the answers, and judged as by trying all orders', () => {
    let refused = 0
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 4 }), (seed, count, overlap) => {
        const random = new SeededRandom(seed)
        const operations = recordedLock(random, count, overlap)
        expect(lock(operations)).toBe('linearizable')
        const which = 2 + Math.floor(random.float() * count)
        const wrong = operations.map((each, i) => (i === which ? { ...each, op: otherOutcome(each.op) } : each))
        const truth = byForce(wrong, lockModel)
        if (!truth) refused++
        expect(lock(wrong)).toBe(truth ? 'linearizable' : 'not-linearizable')
      }),
      { numRuns: 500 },
    )
    expect(refused).toBeGreaterThan(50)
  })

  it('of 10,000 operations on one key is checked soon, and given up within the limits', () => {
    const operations = recorded(new SeededRandom(3), 10_000, 10, 0.002)
    const { model, narrowed } = kvModel(operations)
    const { verdict, steps } = check(narrowed, model)
    expect(verdict).toBe('linearizable')
    expect(steps).toBeLessThan(5_000_000)
    expect(check(narrowed, model, { maxSteps: 1000 })).toMatchObject({ verdict: 'gave-up' })
  })

  it('of 10,000 operations shows the one stale read in it', () => {
    const operations = recorded(new SeededRandom(4), 10_000, 8, 0)
    const stale = operations.findLastIndex(({ op }) => op.kind === 'get' && op.value !== null)
    const old = operations.findLast(({ op }, i) => i < stale - 200 && op.kind === 'get' && op.value !== null)!.op
    const wrong = operations.map((each, i) => (i === stale ? { ...each, op: old } : each))
    const { model, narrowed } = kvModel(wrong)
    expect(check(narrowed, model)).toMatchObject({ verdict: 'not-linearizable', blocked: { op: old } })
  })
})
