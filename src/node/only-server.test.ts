import { describe, expect, it } from 'vitest'
import type { Peer } from '../federation/host.ts'
import { silentLogger } from '../runtime/logger.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import { OnlyServer } from './only-server.ts'

type Listener = (event: { readonly type: 'up' | 'down'; readonly peer: Peer }) => void

function world() {
  const clock = new VirtualClock()
  const refusals: string[] = []
  let listener: Listener | undefined
  const only = new OnlyServer({
    federation: {
      onOwnPeer: (given) => {
        listener = given
        return () => {
          listener = undefined
        }
      },
    },
    datacenter: 'eu-1',
    nodeId: 'own',
    clock,
    logger: silentLogger,
  })
  const meet = (nodeId: string, role: Peer['role'] = 'server', type: 'up' | 'down' = 'up') =>
    listener?.({ type, peer: { nodeId, role, node: 'n1', address: '/ip4/10.0.0.1/tcp/8300' } as Peer })
  return { clock, only, meet, refusals, hear: () => only.assert((error) => refusals.push(error.message)) }
}

describe('one server for a datacenter', () => {
  it('does not start where there is one', () => {
    const { meet, hear } = world()
    meet('other')
    expect(hear).toThrow(
      expect.objectContaining({ code: 'conflict', message: expect.stringContaining('n1, at /ip4/') }),
    )
  })

  it('ends once when it meets one soon after', async () => {
    const { clock, meet, hear, refusals } = world()
    hear()
    await clock.advance(5000)
    meet('other')
    meet('third')
    expect(refusals).toEqual([expect.stringContaining('datacenter "eu-1" has a server already')])
  })

  it('goes on when the other comes later, or is none', async () => {
    const { clock, only, meet, hear, refusals } = world()
    hear()
    meet('a client', 'client')
    meet('own')
    meet('gone', 'server', 'down')
    await clock.advance(16_000)
    meet('other')
    only.close()
    meet('other')
    expect(refusals).toEqual([])
  })
})
