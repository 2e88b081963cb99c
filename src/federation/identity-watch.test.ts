import { describe, expect, it } from 'vitest'
import type { Logger } from '../runtime/ports.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import type { Host, Peer, PeerIdentity, Twin } from './host.ts'
import { IdentityWatch, TWIN } from './identity-watch.ts'

const identity = (node: string): PeerIdentity => ({
  peerId: `peer-${node}`,
  datacenter: 'eu-1',
  datacenterId: 'id',
  node,
  nodeId: node,
  role: 'server',
})

function world() {
  const clock = new VirtualClock()
  const lines: string[] = []
  const refusals: string[] = []
  const calls: unknown[][] = []
  let onTwin: (twin: Twin) => void = () => {}
  let told: Parameters<Host['handle']>[1] | undefined
  const host = {
    self: identity('own'),
    onTwin(listener: typeof onTwin) {
      onTwin = listener
      return () => {}
    },
    handle(method: string, handler: typeof told) {
      if (method === TWIN) told = handler
    },
    async call(...args: unknown[]) {
      calls.push(args)
      throw new Error('too old to know')
    },
  } as unknown as Host
  const note = (level: string) => (fields: Record<string, unknown>) => void lines.push(`${level} ${fields.problem}`)
  const logger: Logger = {
    debug() {},
    info() {},
    warn: note('warn'),
    error: note('error'),
    child: () => logger,
  }
  const watch = new IdentityWatch({ clock, logger, host, onRefused: (message) => refusals.push(message) })
  const meet = (twin: Partial<Twin>): void => {
    onTwin({ identity: identity('own'), own: undefined, kept: '/ip4/10.0.0.7', refused: '/ip4/10.0.0.9', ...twin })
  }
  const tell = (payload: unknown, role: Peer['role']): Promise<unknown> =>
    told!(payload, { peer: { ...identity('other'), role } as Peer, signal: new AbortController().signal })
  return { clock, lines, refusals, calls, watch, meet, tell }
}

describe('identities', () => {
  it('that peers refuse end this process, once, and not for a moment that a former one takes to end', async () => {
    const { clock, lines, refusals, watch, meet } = world()
    meet({ own: 'refused' })
    meet({ own: 'refused' })
    expect(refusals).toEqual([])
    await clock.advance(2500)
    for (let i = 0; i < 3; i++) meet({ own: 'refused' })
    expect(refusals).toEqual([expect.stringContaining('identity.key: another process that started earlier')])
    expect(lines).toEqual(['error key-in-use'])
    expect(watch.list()).toMatchObject([{ kind: 'key-in-use', node: 'own', firstSeenMs: 2500, lastSeenMs: 0 }])
  })

  it('of others are told to the one that stays, now and then', async () => {
    const { clock, calls, lines, meet } = world()
    for (let i = 0; i < 10; i++) {
      meet({ identity: identity('x') })
      await clock.advance(1000)
    }
    expect(calls.map(([peerId, method, refused]) => [peerId, method, refused])).toEqual([
      ['peer-x', TWIN, '/ip4/10.0.0.9'],
    ])
    await clock.advance(30_000)
    meet({ identity: identity('x') })
    expect(calls).toHaveLength(2)
    expect(lines).toEqual(['error key-in-use'])
  })

  it('that stay hear of it from servers alone, in words of a bounded length', async () => {
    const { watch, tell, refusals } = world()
    await tell('/ip4/10.0.0.9', 'client')
    await tell('x'.repeat(1000), 'server')
    await tell(7, 'server')
    expect(watch.list()).toEqual([])
    await tell('/ip4/10.0.0.9', 'server')
    expect(watch.list()[0]!.message).toContain('seen at /ip4/10.0.0.9')
    expect(refusals).toEqual([])
  })

  it('warn of what is no fault, and go on above what a silent twin said', async () => {
    const { clock, watch, lines } = world()
    watch.report({ kind: 'restored', datacenter: 'us-1', node: '', message: 'x' })
    expect(lines).toEqual(['warn restored'])
    expect(watch.echo({ boot: 9, sequence: 1 }, { boot: 1, sequence: 1 })).toEqual({ boot: 9, sequence: 1 })
    await clock.advance(20_000)
    for (let sequence = 1; sequence < 5; sequence++)
      expect(watch.echo({ boot: 10, sequence }, { boot: 9, sequence: 5 })).toBeUndefined()
    expect(lines).toEqual(['warn restored', 'error key-in-use'])
    expect(watch.tick()).toBeUndefined()
    await clock.advance(5000)
    expect(watch.tick()).toEqual({ boot: 10, sequence: 4 })
  })
})
