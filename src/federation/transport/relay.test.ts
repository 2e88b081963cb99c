import { AbstractMessageStream } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import {
  addressesOf,
  openTestHost,
  orderedIdentities,
  type TestHostOptions,
  trapUncaught,
  until,
  wanted,
} from '../../../test/support/hosts.ts'
import type { Host } from '../host.ts'
import { RELAYED_PROTOCOL } from './relay.ts'

const hosts: Host[] = []
const open = async (options: TestHostOptions): Promise<Host> => {
  const host = await openTestHost(options)
  hosts.push(host)
  host.handle('echo', async (payload) => payload)
  return host
}
const uncaught = trapUncaught()
afterEach(async () => {
  vi.restoreAllMocks()
  await Promise.all(hosts.splice(0).map((host) => host.close()))
})
afterAll(() => {
  uncaught.release()
  expect(uncaught.errors).toEqual([])
})
const idOf = (host: Host): string => host.self.peerId
const CALL = { deadlineMs: 5000 }

interface Three {
  readonly a: Host
  readonly b: Host
  readonly relay: Host
}

/** Two that know each other only through a third. `a` elects when it is the smaller of the two. */
async function three(limits: TestHostOptions['limits'] = {}, order: 0 | 1 = 0): Promise<Three> {
  const identities = await orderedIdentities(2)
  const a = await open({ name: 'a', datacenter: 'eu-1', identity: identities[order]!, limits })
  const b = await open({ name: 'b', datacenter: 'us-1', identity: identities[1 - order]!, limits })
  const relay = await open({ name: 'r', datacenter: 'ap-1', limits })
  await Promise.all([a.join(relay.addresses[0]!, CALL), b.join(relay.addresses[0]!, CALL)])
  await until(() => relay.peers().length === 2)
  return { a, b, relay }
}

const echo = (from: Host, to: Host): Promise<unknown> => from.call(idOf(to), 'echo', 'hello', CALL)

describe('a connection through a third peer', () => {
  it('carries calls and streams both ways, whoever elects, and says through whom', async () => {
    for (const order of [0, 1] as const) {
      const { a, b, relay } = await three({}, order)
      const peer = await a.dialVia(idOf(b), idOf(relay), CALL)
      expect(peer).toMatchObject({ ...b.self, direction: 'outbound', via: { node: 'r', datacenter: 'ap-1' } })
      await until(() => b.peer(idOf(a)))
      expect(b.peer(idOf(a))).toMatchObject({ ...a.self, direction: 'inbound', via: { peerId: idOf(relay) } })
      expect(await echo(a, b)).toBe('hello')
      expect(await echo(b, a)).toBe('hello')
      await until(() => a.roundTripMs(idOf(b)) !== undefined && b.roundTripMs(idOf(a)) !== undefined)
      const got = Promise.withResolvers<number>()
      a.handleStream('bulk', async (stream) => {
        let bytes = 0
        for await (const frame of stream.frames()) bytes += frame.byteLength
        got.resolve(bytes)
      })
      const stream = await b.openStream(idOf(a), 'bulk', CALL)
      for (let at = 0; at < 60; at++) await stream.send(new Uint8Array(64 << 10))
      await stream.close()
      expect(await got.promise).toBe(60 * (64 << 10))
      // The relay itself has two peers still, and both are direct.
      expect(relay.peers().map(({ via }) => via)).toEqual([undefined, undefined])
      await Promise.all([a, b, relay].map((host) => host.close()))
    }
  })

  it('shows the relay nothing but ciphertext', async () => {
    const { a, b, relay } = await three()
    const passed: Uint8Array[] = []
    const send = AbstractMessageStream.prototype.send
    // Only a relay opens such streams.
    vi.spyOn(AbstractMessageStream.prototype, 'send').mockImplementation(function (
      this: AbstractMessageStream,
      data: Uint8Array | Uint8ArrayList,
    ) {
      const { protocol, direction } = this as AbstractMessageStream & { protocol?: string }
      if (protocol === RELAYED_PROTOCOL && direction === 'outbound') passed.push(data.slice())
      return send.call(this, data)
    })
    await a.dialVia(idOf(b), idOf(relay), CALL)
    const secret = 'a secret of eu-1 '.repeat(200)
    expect(await a.call(idOf(b), 'echo', secret, CALL)).toBe(secret)
    const seen = Buffer.concat(passed)
    expect(seen.byteLength).toBeGreaterThan(secret.length)
    expect(seen.includes('secret of eu-1')).toBe(false)
    // Nor the certificate, which names the node's datacenter.
    expect(seen.includes('eu-1')).toBe(false)
  })

  it('gives way to a direct one, without losing a call', async () => {
    for (const order of [0, 1] as const) {
      const { a, b, relay } = await three({}, order)
      await a.dialVia(idOf(b), idOf(relay), CALL)
      await until(() => b.peer(idOf(a)))
      const answers = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      b.handle('slow', async () => answers[0]!.promise.then(() => 'of b'))
      a.handle('slow', async () => answers[1]!.promise.then(() => 'of a'))
      const pending = [a.call(idOf(b), 'slow', 0, CALL), b.call(idOf(a), 'slow', 0, CALL)]
      const events: string[] = []
      a.onPeer(({ type, peer }) => peer.node === 'b' && events.push(`${type} ${peer.via?.node ?? 'direct'}`))
      a.want([wanted(b)])
      b.want([wanted(a)])
      await until(() => a.peer(idOf(b))?.via === undefined && b.peer(idOf(a))?.via === undefined)
      expect(events).toEqual(['down r', 'up direct'])
      expect(await echo(a, b)).toBe('hello')
      for (const { resolve } of answers) resolve()
      expect(await Promise.all(pending)).toEqual(['of b', 'of a'])
      // Gossip runs on the direct connection, both ways.
      const heard = new Set<string>()
      for (const host of [a, b]) host.onGossip((message) => heard.add(Buffer.from(message).toString()) && 'accept')
      await relay.close()
      let sent = 0
      await until(() => {
        a.publish(Buffer.from(`a ${sent++}`))
        b.publish(Buffer.from(`b ${sent++}`))
        return [...heard].some((each) => each.startsWith('a')) && [...heard].some((each) => each.startsWith('b'))
      })
      await Promise.all([a.close(), b.close()])
    }
  })

  it('leaves gossip between its ends to the third peer, and does not silence it', async () => {
    const { a, b, relay } = await three()
    const heard: string[] = []
    b.onGossip((message) => (heard.push(Buffer.from(message).toString()) > 0 ? 'accept' : 'ignore'))
    relay.onGossip(() => 'accept')
    await a.dialVia(idOf(b), idOf(relay), CALL)
    let sent = 0
    await until(() => {
      a.publish(Buffer.from(`${sent++}`))
      return heard.length > 0
    })
    // Beyond the time in which a watchdog would hang up on a peer without gossip.
    const before = a.peer(idOf(b))
    const endMs = performance.now() + 3600
    await until(() => performance.now() > endMs)
    expect(a.peer(idOf(b))).toBe(before)
    heard.length = 0
    await until(() => {
      a.publish(Buffer.from(`${sent++}`))
      return heard.length > 0
    })
  })

  it('goes down with its relay', async () => {
    const { a, b, relay } = await three()
    await a.dialVia(idOf(b), idOf(relay), CALL)
    await until(() => b.peer(idOf(a)))
    await relay.close()
    await until(() => a.peer(idOf(b)) === undefined && b.peer(idOf(a)) === undefined)
    await expect(echo(a, b)).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('is one of both when both ends dial at once', async () => {
    const { a, b, relay } = await three()
    const dials = [a.dialVia(idOf(b), idOf(relay), CALL), b.dialVia(idOf(a), idOf(relay), CALL)]
    await Promise.allSettled(dials)
    await until(() => a.peer(idOf(b)) && b.peer(idOf(a)))
    expect(new Set([a.peer(idOf(b))!.direction, b.peer(idOf(a))!.direction]).size).toBe(2)
    expect(await echo(a, b)).toBe('hello')
    expect(await echo(b, a)).toBe('hello')
  })
})

describe('a relay refuses', () => {
  it('a second hop, on all three sides', async () => {
    const { a, b, relay } = await three()
    await a.dialVia(idOf(b), idOf(relay), CALL)
    await until(() => b.peer(idOf(a)))
    const c = await open({ name: 'c', datacenter: 'sa-1' })
    await c.join(b.addresses[0]!, CALL)
    await until(() => b.peer(idOf(c)))
    // a is connected to b through r: b must not pass c on to it, and a must not take b for a relay.
    await expect(c.dialVia(idOf(a), idOf(b), CALL)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/not connected to that peer/),
    })
    await expect(a.dialVia(idOf(c), idOf(b), CALL)).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('who asks for one that it is not connected to, for itself, or for a client', async () => {
    const { a, relay } = await three()
    const stranger = await open({ name: 's' })
    const client = await open({ name: 'k', role: 'client' })
    await client.join(relay.addresses[0]!, CALL)
    await until(() => relay.peer(idOf(client)))
    await expect(a.dialVia(idOf(stranger), idOf(relay), CALL)).rejects.toMatchObject({ code: 'unavailable' })
    await expect(a.dialVia(idOf(a), idOf(relay), CALL)).rejects.toMatchObject({ code: 'forbidden' })
    await expect(a.dialVia(idOf(client), idOf(relay), CALL)).rejects.toMatchObject({ code: 'forbidden' })
    await expect(client.dialVia(idOf(a), idOf(relay), CALL)).rejects.toMatchObject({ code: 'unsupported' })
  })

  it('more than it may pass on, for one peer and in all', async () => {
    const limits = { maxRelayedPerPeer: 1, maxRelayed: 2 }
    const { a, b, relay } = await three(limits)
    const others: Host[] = []
    for (const name of ['c', 'd', 'e']) {
      const other = await open({ name, limits })
      await other.join(relay.addresses[0]!, CALL)
      others.push(other)
    }
    const [c, d, e] = others as [Host, Host, Host]
    await until(() => relay.peers().length === 5)
    await a.dialVia(idOf(b), idOf(relay), CALL)
    await expect(a.dialVia(idOf(c), idOf(relay), CALL)).rejects.toMatchObject({ code: 'overloaded' })
    await c.dialVia(idOf(d), idOf(relay), CALL)
    await expect(e.dialVia(idOf(b), idOf(relay), CALL)).rejects.toMatchObject({ code: 'overloaded' })
    // What ends makes room.
    await a.disconnect(idOf(b))
    await until(() => b.peer(idOf(a)) === undefined)
    let came: unknown
    await until(() => {
      e.dialVia(idOf(b), idOf(relay), CALL).then(
        (peer) => {
          came = peer
        },
        () => {},
      )
      return e.peer(idOf(b)) !== undefined || came
    })
  })

  it('nothing that is connected directly already', async () => {
    const { a, b, relay } = await three()
    await a.join(addressesOf(b)[0]!, CALL)
    const peer = await a.dialVia(idOf(b), idOf(relay), CALL)
    expect(peer.via).toBeUndefined()
  })
})
