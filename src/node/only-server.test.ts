import { describe, expect, it } from 'vitest'
import type { Federation } from '../federation/federation.ts'
import type { Peer } from '../federation/host.ts'
import { AtollError } from '../model/errors.ts'
import type { Logger } from '../runtime/ports.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import { OnlyServer, STORE } from './only-server.ts'

type Listener = (event: { readonly type: 'up' | 'down'; readonly peer: Peer }) => void

/** Another server of the DC, and what it says of itself. */
interface Other {
  readonly nodeId?: string
  readonly role?: Peer['role']
  readonly type?: 'up' | 'down'
  readonly uptimeMs?: unknown
}

function world(sharedStore?: () => string) {
  const clock = new VirtualClock()
  const refusals: string[] = []
  const errors: string[] = []
  const logger: Logger = {
    debug() {},
    info() {},
    warn() {},
    error: (_fields, message) => errors.push(message),
    child: () => logger,
  }
  let listener: Listener | undefined
  let uptimeMs: unknown
  /** What the other says of its store, each time that it is asked. */
  const stores: unknown[] = []
  const federation: Pick<Federation, 'onOwnPeer' | 'call' | 'handle' | 'problems'> = {
    problems: { list: () => [], report: ({ message }) => errors.push(message) },
    onOwnPeer(given) {
      listener = given
      return () => {
        listener = undefined
      }
    },
    async call(_target, method) {
      const answer = method === STORE ? stores.shift() : uptimeMs
      if (answer instanceof Error) throw answer
      return answer
    },
    handle() {},
  }
  const only = new OnlyServer({ federation, datacenter: 'eu-1', nodeId: 'm', clock, logger, sharedStore })
  const meet = async (other: Other): Promise<void> => {
    const { nodeId = 'z', role = 'server', type = 'up' } = other
    uptimeMs = other.uptimeMs ?? 3_600_000
    listener?.({ type, peer: { nodeId, role, node: 'n1', address: '/ip4/10.0.0.1/tcp/8300', peerId: 'p' } as Peer })
    await clock.advance(0)
  }
  const hear = () => only.assert((error) => refusals.push(error.message))
  return { clock, only, meet, refusals, errors, hear, stores }
}

describe('one server for a datacenter', () => {
  it('does not start where there is one', async () => {
    const { meet, hear } = world()
    await meet({})
    expect(hear).toThrow(
      expect.objectContaining({ code: 'conflict', message: expect.stringContaining('n1, at /ip4/') }),
    )
  })

  it('ends once when it meets one that was first', async () => {
    const { clock, meet, hear, refusals } = world()
    hear()
    await clock.advance(5000)
    await meet({ uptimeMs: 8000 })
    await meet({})
    expect(refusals).toEqual([expect.stringContaining('datacenter "eu-1" has a server already')])
  })

  it.each([
    ['of two that started together, the one with the smaller id', 5000, { uptimeMs: 5300, nodeId: 'z' }, 0],
    ['and not the other', 5000, { uptimeMs: 4800, nodeId: 'a' }, 1],
    ['the first, though it was just started', 5000, { uptimeMs: 2000, nodeId: 'a' }, 0],
    ['one that has run for long, though the other did so for longer', 120_000, {}, 0],
    ['one that is told nothing usable', 5000, { uptimeMs: 'x' }, 0],
    ['one that is told nothing', 5000, { uptimeMs: new AtollError('timeout', 'late') }, 0],
  ] as const)('stays: %s', async (_, ownMs, other, ends) => {
    const { clock, meet, hear, refusals, errors } = world()
    hear()
    await clock.advance(ownMs)
    await meet(other)
    // Who gives no answer is asked for a minute.
    await clock.advance(65_000)
    expect(refusals).toHaveLength(ends)
    expect(errors).toHaveLength(1 - ends)
  })

  it('minds nobody but other servers', async () => {
    const { only, meet, hear, refusals, errors } = world()
    hear()
    await meet({ role: 'client' })
    await meet({ nodeId: 'm' })
    await meet({ type: 'down' })
    only.close()
    await meet({})
    expect([...refusals, ...errors]).toEqual([])
  })
})

describe('several servers on one store', () => {
  it('end at once when they are told to while they wait to ask again', async () => {
    const { only, meet, hear, stores, clock, refusals, errors } = world(() => 'aa')
    hear()
    stores.push('bb', 'bb')
    await meet({ uptimeMs: 8000 })
    expect(clock.pendingTimers).toBe(1)
    only.close()
    await clock.advance(10_000)
    expect(clock.pendingTimers).toBe(0)
    expect([...refusals, ...errors]).toEqual([])
    expect(stores).toEqual(['bb'])
  })

  it('are welcome, also while one of them has not heard yet that the epoch changed', async () => {
    const { meet, hear, stores, clock, refusals, errors } = world(() => 'aa')
    hear()
    stores.push('aa')
    await meet({})
    stores.push('former', 'aa')
    await meet({})
    await clock.advance(2_000)
    expect([refusals, errors, stores]).toEqual([[], [], []])
  })

  it('are too many where one has another store, or an embedded one', async () => {
    const other = world(() => 'aa')
    other.hear()
    other.stores.push('bb', 'bb')
    await other.meet({})
    await other.clock.advance(2_000)
    expect(other.refusals).toEqual([expect.stringContaining('same --store')])
    const embedded = world(() => 'aa')
    embedded.hear()
    embedded.stores.push(new AtollError('unsupported', 'this node answers no "node.store"'))
    await embedded.meet({})
    expect(embedded.refusals).toHaveLength(1)
  })

  it('of which one does not answer for a minute are told of, and left alone', async () => {
    const { meet, hear, stores, clock, refusals, errors } = world(() => 'aa')
    hear()
    stores.push(...Array.from({ length: 40 }, () => new AtollError('timeout', 'silent')))
    await meet({})
    await clock.advance(50_000)
    expect([refusals, errors]).toEqual([[], []])
    await clock.advance(15_000)
    expect([refusals, errors.length]).toEqual([[], 1])
  })

  it('of which one is starting wait until it says', async () => {
    const { meet, hear, stores, clock, refusals, errors } = world(() => 'aa')
    hear()
    const starting = new AtollError('unavailable', 'this server is starting')
    stores.push(starting, starting, 'aa')
    await meet({})
    await clock.advance(10_000)
    expect([refusals, errors, stores]).toEqual([[], [], []])
  })

  it('of which one is gone before it says are told of nothing', async () => {
    const { meet, hear, stores, clock, refusals, errors } = world(() => 'aa')
    hear()
    stores.push(new AtollError('unavailable', 'gone'), new AtollError('unavailable', 'gone'))
    await meet({})
    await meet({ type: 'down' })
    await clock.advance(65_000)
    expect([refusals, errors]).toEqual([[], []])
  })
})
