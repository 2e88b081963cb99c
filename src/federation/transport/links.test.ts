import { afterEach, describe, expect, it } from 'vitest'
import { openTestHost, orderedIdentities, trapUncaught, until, wanted } from '../../../test/support/hosts.ts'
import { systemClock } from '../../runtime/clock.ts'
import type { Host } from '../host.ts'
import { DEFAULT_LIMITS } from './limits.ts'

const hosts: Host[] = []
const open = async (options: Parameters<typeof openTestHost>[0]): Promise<Host> => {
  const host = await openTestHost(options)
  hosts.push(host)
  return host
}
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()))
})
const CALL = { deadlineMs: 5000 }

/** Both ways, by gossip and by calls. */
async function expectFlow(a: Host, b: Host): Promise<void> {
  const got = new Set<string>()
  for (const host of [a, b]) {
    host.handle('echo', async (payload) => payload)
    host.onGossip((message) => {
      got.add(`${host.self.node}: ${Buffer.from(message).toString().split(' ')[0]}`)
      return 'accept'
    })
  }
  let sent = 0
  await until(() => {
    for (const host of [a, b]) host.publish(Buffer.from(`${host.self.node} ${sent++}`))
    return got.has('a: b') && got.has('b: a')
  })
  expect(await a.call(b.self.peerId, 'echo', 1, CALL)).toBe(1)
  expect(await b.call(a.self.peerId, 'echo', 2, CALL)).toBe(2)
}

describe('dials that cross', () => {
  it('end in one connection that carries everything, 20 times', { timeout: 60_000 }, async () => {
    const uncaught = trapUncaught()
    for (let round = 0; round < 20; round++) {
      const [first, second] = await orderedIdentities(2)
      const a = await open({ name: 'a', identity: first })
      const b = await open({ name: 'b', identity: second })
      const events: string[] = []
      for (const host of [a, b]) host.onPeer(({ type }) => events.push(`${host.self.node} ${type}`))
      await Promise.all([
        a.join(b.addresses[0]!, CALL),
        b.join(a.addresses[0]!, CALL),
        a.want([wanted(b)]),
        b.want([wanted(a)]),
      ])
      await expectFlow(a, b)
      expect(events.sort()).toEqual(['a up', 'b up'])
      // Each sees the other end of the same connection.
      const [ofA, ofB] = [a.peer(b.self.peerId)!, b.peer(a.self.peerId)!]
      expect(new Set([ofA.direction, ofB.direction]).size).toBe(2)
      await Promise.all([a.close(), b.close()])
    }
    uncaught.release()
    expect(uncaught.errors).toEqual([])
  })

  it('end in one connection for each pair of many', { timeout: 60_000 }, async () => {
    const many = await Promise.all(Array.from({ length: 6 }, (_, at) => open({ name: `n${at}` })))
    const ups = new Map<string, number>()
    for (const host of many) {
      host.onPeer(({ type, peer }) => {
        const pair = `${host.self.node} ${peer.node} ${type}`
        ups.set(pair, (ups.get(pair) ?? 0) + 1)
      })
    }
    for (const host of many) host.want(many.filter((other) => other !== host).map(wanted))
    await until(() => many.every((host) => host.peers().length === many.length - 1))
    const got = new Map<string, Set<string>>(many.map((host) => [host.self.node, new Set()]))
    for (const host of many) {
      host.onGossip((message) => {
        got.get(host.self.node)!.add(Buffer.from(message).toString().split(' ')[0]!)
        return 'accept'
      })
    }
    let sent = 0
    await until(() => {
      for (const host of many) host.publish(Buffer.from(`${host.self.node} ${sent++}`))
      return [...got.values()].every((froms) => froms.size === many.length - 1)
    })
    expect([...ups.values()].every((count) => count === 1)).toBe(true)
    expect(ups.size).toBe(many.length * (many.length - 1))
  })
})

describe('a restart under the same key', () => {
  it('flows again, whichever side has the smaller id, many times', { timeout: 60_000 }, async () => {
    for (const order of [0, 1]) {
      const identities = await orderedIdentities(2)
      const a = await open({ name: 'a', identity: identities[order]! })
      let b = await open({ name: 'b', identity: identities[1 - order]! })
      const port = Number(/tcp\/(\d+)/.exec(b.addresses[0]!)![1])
      a.want([wanted(b)])
      for (let round = 0; round < 4; round++) {
        b.want([wanted(a)])
        await until(() => a.peer(b.self.peerId) && b.peer(a.self.peerId))
        await expectFlow(a, b)
        const before = a.peer(b.self.peerId)!.bootId
        await b.close()
        await until(() => a.peer(b.self.peerId) === undefined)
        b = await open({ name: 'b', identity: identities[1 - order]!, listen: { host: '127.0.0.1', port } })
        await until(() => a.peer(b.self.peerId))
        expect(a.peer(b.self.peerId)!.bootId).not.toBe(before)
      }
      await expectFlow(a, b)
      await Promise.all([a.close(), b.close()])
    }
  })
})

describe('pings', () => {
  it('keep a server and its client sure of each other, though the server asks rarely', async () => {
    const limits = { ...DEFAULT_LIMITS, pingEveryMs: 50, pingClientsEveryMs: 400, maxSilenceMs: 1_000 }
    const server = await open({ name: 'server', limits })
    const client = await open({ name: 'client', role: 'client', limits })
    await client.join(server.addresses[0]!, CALL)
    const startMs = systemClock.nowMs()
    await until(() => server.peer(client.self.peerId) && systemClock.nowMs() - startMs > 1_500)
    expect(client.peer(server.self.peerId)).toBeDefined()
    expect(server.roundTripMs(client.self.peerId)).toBeGreaterThan(0)
    expect(client.roundTripMs(server.self.peerId)).toBeGreaterThan(0)
    // By the client's pings, not only when it asks itself.
    await until(() => server.silentMs(client.self.peerId)! < 200)
  })
})
