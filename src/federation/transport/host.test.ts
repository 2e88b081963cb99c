import { afterAll, afterEach, describe, expect, it } from 'vitest'
import {
  addressesOf,
  MESH,
  openTestHost,
  orderedIdentities,
  type TestHostOptions,
  trapUncaught,
  until,
  wanted,
} from '../../../test/support/hosts.ts'
import { AtollError } from '../../model/errors.ts'
import { systemClock } from '../../runtime/clock.ts'
import type { FrameStream, Host, Peer } from '../host.ts'
import { devAuthority } from './authority.ts'

const hosts: Host[] = []
const open = async (options?: TestHostOptions): Promise<Host> => {
  const host = await openTestHost(options)
  hosts.push(host)
  return host
}
const pair = async (first: TestHostOptions = {}, second: TestHostOptions = {}): Promise<[Host, Host]> => {
  const a = await open({ name: 'a', datacenter: 'eu-1', ...first })
  const b = await open({ name: 'b', datacenter: 'us-1', ...second })
  await b.join(a.addresses[0]!, { deadlineMs: 5000 })
  await until(() => a.peer(b.self.peerId))
  return [a, b]
}
const uncaught = trapUncaught()
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()))
})
afterAll(() => {
  uncaught.release()
  expect(uncaught.errors).toEqual([])
})
const idOf = (host: Host): string => host.self.peerId
const CALL = { deadlineMs: 5000 }

describe('peers', () => {
  it('know each other by certificate, on both sides', async () => {
    const [a, b] = await pair()
    expect(a.peers()).toHaveLength(1)
    expect(a.peer(idOf(b))).toMatchObject({ ...b.self, direction: 'inbound' })
    expect(b.peer(idOf(a))).toMatchObject({ ...a.self, direction: 'outbound', address: addressesOf(a)[0] })
    expect(a.self).toMatchObject({ datacenter: 'eu-1', node: 'a', role: 'server' })
    expect(a.self.datacenterId).not.toBe(b.self.datacenterId)
  })

  it('are told up once and down once', async () => {
    const events: string[] = []
    const a = await open({ name: 'a' })
    const off = a.onPeer(({ type, peer }) => events.push(`${type} ${peer.node}`))
    const b = await open({ name: 'b' })
    await b.join(a.addresses[0]!, CALL)
    await until(() => events.length === 1)
    await b.close()
    await until(() => events.length === 2)
    expect(events).toEqual(['up b', 'down b'])
    off()
    const c = await open({ name: 'c' })
    await c.join(a.addresses[0]!, CALL)
    await until(() => a.peers().length === 1)
    expect(events).toHaveLength(2)
  })

  it('join twice, and by host and port, and get the one connection', async () => {
    const [a, b] = await pair()
    const port = /tcp\/(\d+)/.exec(a.addresses[0]!)![1]
    const peers = await Promise.all([
      b.join(`127.0.0.1:${port}`, CALL),
      b.join(a.addresses[0]!, CALL),
      a.join(addressesOf(b)[0]!, CALL),
    ])
    expect(peers.map((peer: Peer) => peer.node)).toEqual(['a', 'a', 'b'])
    expect(a.peers()).toHaveLength(1)
    expect(b.peers()).toHaveLength(1)
  })

  it('say why joining failed', async () => {
    const a = await open()
    await expect(a.join('127.0.0.1:1', CALL)).rejects.toMatchObject({ code: 'unavailable' })
    await expect(a.join(a.addresses[0]!, CALL)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/itself/),
    })
    await expect(a.join('nonsense', CALL)).rejects.toMatchObject({ code: 'invalid', field: 'address' })
    const aborted = AbortSignal.abort(new Error('never mind'))
    await expect(a.join('127.0.0.1:1', { ...CALL, signal: aborted })).rejects.toThrow('never mind')
  })

  it('are dialled by whichever side wants them, first or larger', async () => {
    const [small, large] = await orderedIdentities(2)
    for (const identities of [
      [small, large],
      [large, small],
    ]) {
      const a = await open({ name: 'a', identity: identities[0] })
      const b = await open({ name: 'b', identity: identities[1] })
      a.want([wanted(b)])
      await until(() => a.peer(idOf(b)) && b.peer(idOf(a)))
      await Promise.all([a.close(), b.close()])
    }
  })

  it('are found at whichever address answers, past dead ones', async () => {
    const a = await open({ name: 'a' })
    const b = await open({ name: 'b' })
    // 192.0.2.0/24 is for documentation: nothing answers there, or nothing is routed.
    b.want([{ peerId: idOf(a), addresses: ['/ip4/127.0.0.1/tcp/1', '/ip4/192.0.2.1/tcp/1', addressesOf(a)[0]!] }])
    await until(() => b.peer(idOf(a)))
  })

  it('come back after a disconnect while they are wanted, and only then', async () => {
    const [a, b] = await pair()
    const downs: string[] = []
    b.onPeer(({ type, peer }) => type === 'down' && downs.push(peer.node))
    b.want([wanted(a)])
    await a.disconnect(idOf(b))
    await until(() => downs.length === 1)
    await until(() => b.peer(idOf(a)))
    b.want([])
    await b.disconnect(idOf(a))
    expect(b.peer(idOf(a))).toBeUndefined()
  })

  it('of another mesh are refused, both ways, with the reason', async () => {
    const a = await open()
    const stranger = await open({ authority: devAuthority('other') })
    for (const [from, to] of [
      [a, stranger],
      [stranger, a],
    ] as const) {
      await expect(from.join(to.addresses[0]!, CALL)).rejects.toMatchObject({
        code: 'forbidden',
        message: expect.stringMatching(/mesh/),
      })
    }
    expect([...a.peers(), ...stranger.peers()]).toEqual([])
  })

  it('with an expired or a stolen certificate are refused', async () => {
    const a = await open()
    const dev = devAuthority(MESH)
    const month = 30 * 86_400_000
    const trusting = (certificate: Promise<Uint8Array>) => ({
      mesh: MESH,
      issue: () => certificate,
      // As if it were valid, to itself.
      verify: (bytes: Uint8Array, nowMs: number) => {
        const verdict = dev.verify(bytes, nowMs)
        return verdict.ok ? verdict : dev.verify(bytes, nowMs - month)
      },
    })
    const request = { datacenter: 'eu-1', role: 'server', node: 'x', nodeId: 'x' } as const
    const old = dev.issue({ ...request, publicKey: new Uint8Array(32), nowMs: systemClock.wallMs() - month })
    const stolen = Promise.resolve(a.certificate)
    for (const [certificate, reason] of [
      [old, /expired/],
      [stolen, /another key/],
    ] as const) {
      const thief = await open({ authority: trusting(certificate) })
      await expect(thief.join(a.addresses[0]!, CALL)).rejects.toMatchObject({
        code: 'forbidden',
        message: expect.stringMatching(reason),
      })
    }
    expect(a.peers()).toEqual([])
  })
})

describe('calls', () => {
  it('go both ways, with any msgpack value', async () => {
    const [a, b] = await pair()
    for (const host of [a, b]) host.handle('echo', async (payload, { peer }) => [peer.node, payload])
    const value = { flags: 2n ** 63n, bytes: Uint8Array.of(1), deep: [{ x: null }], on: true }
    expect(await a.call(idOf(b), 'echo', value, CALL)).toMatchObject(['a', { flags: 2n ** 63n, deep: [{ x: null }] }])
    expect(await b.call(idOf(a), 'echo', undefined, CALL)).toEqual(['b', undefined])
  })

  it('bring typed errors, and hide nothing of others', async () => {
    const [a, b] = await pair()
    b.handle('typed', async () => {
      throw new AtollError('conflict', 'taken', { field: 'name' })
    })
    b.handle('broken', () => Promise.reject(new RangeError('oops')))
    await expect(a.call(idOf(b), 'typed', 0, CALL)).rejects.toMatchObject({ code: 'conflict', field: 'name' })
    await expect(a.call(idOf(b), 'broken', 0, CALL)).rejects.toMatchObject({ code: 'internal', message: 'oops' })
    await expect(a.call(idOf(b), 'none', 0, CALL)).rejects.toMatchObject({ code: 'unsupported' })
    await expect(a.call('12D3nobody', 'typed', 0, CALL)).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('end at their deadline and when the caller gives up, and the handler is told', async () => {
    const [a, b] = await pair()
    const told: string[] = []
    b.handle('wait', (name, { signal }) => {
      return new Promise((_, reject) =>
        signal.addEventListener('abort', () => {
          told.push(String(name))
          reject(signal.reason)
        }),
      )
    })
    await expect(a.call(idOf(b), 'wait', 'late', { deadlineMs: 30 })).rejects.toMatchObject({ code: 'timeout' })
    const controller = new AbortController()
    const call = a.call(idOf(b), 'wait', 'given up', { ...CALL, signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(call).rejects.toThrow('enough')
    await until(() => told.length === 2)
    expect(told).toEqual(['late', 'given up'])
  })

  it('that were sent time out when the connection is lost, and the handler is told', async () => {
    const [a, b] = await pair()
    let told = false
    b.handle('wait', (_, { signal }) => {
      signal.addEventListener('abort', () => {
        told = true
      })
      return new Promise(() => {})
    })
    const call = a.call(idOf(b), 'wait', 0, CALL)
    const failed = expect(call).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(/did not answer/),
    })
    await until(() => a.roundTripMs(idOf(b)))
    await a.disconnect(idOf(b))
    await failed
    await until(() => told)
  })

  it('are bounded in size and number', async () => {
    const limits = { maxCallBytes: 1000, maxCallsIn: 2, maxCallsOut: 3 }
    const [a, b] = await pair({ limits }, { limits })
    b.handle('big', async (size) => new Uint8Array(size as number))
    let aborted = 0
    b.handle('wait', (_, { signal }) => {
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          aborted++
          reject(signal.reason)
        }),
      )
    })
    await expect(a.call(idOf(b), 'big', new Uint8Array(1001), CALL)).rejects.toMatchObject({ code: 'too-large' })
    await expect(a.call(idOf(b), 'big', 2000, CALL)).rejects.toMatchObject({ code: 'too-large' })
    expect(await a.call(idOf(b), 'big', 10, CALL)).toHaveLength(10)
    const waiting = [1, 2].map(() => a.call(idOf(b), 'wait', 0, { deadlineMs: 300 }))
    const ended = Promise.allSettled(waiting)
    await expect(a.call(idOf(b), 'wait', 0, CALL)).rejects.toMatchObject({ code: 'overloaded' })
    waiting.push(a.call(idOf(b), 'big', 0, CALL).catch(() => undefined))
    await expect(a.call(idOf(b), 'big', 0, CALL)).rejects.toMatchObject({ code: 'overloaded' })
    await ended
    await until(() => aborted === 2)
    expect(await a.call(idOf(b), 'big', 10, CALL)).toHaveLength(10)
  })
})

describe('streams', () => {
  it('carry frames in order, both ways, and end in an orderly way', async () => {
    const [a, b] = await pair()
    b.handleStream('upper', async (stream) => {
      for await (const frame of stream.frames())
        await stream.send(Buffer.from(Buffer.from(frame).toString().toUpperCase()))
      await stream.close()
    })
    const stream = await a.openStream(idOf(b), 'upper', CALL)
    for (const word of ['one', 'two', '']) await stream.send(Buffer.from(word))
    await stream.close()
    const got: string[] = []
    for await (const frame of stream.frames()) got.push(Buffer.from(frame).toString())
    expect(got).toEqual(['ONE', 'TWO', ''])
    await expect(stream.send(Buffer.from('x'))).rejects.toMatchObject({ code: 'unavailable' })
  })

  it('hold back a fast sender until a slow reader has read, and lose nothing', async () => {
    const [a, b] = await pair()
    let taken: FrameStream | undefined
    b.handleStream('slow', (stream) => {
      taken = stream
    })
    const stream = await a.openStream(idOf(b), 'slow', CALL)
    const frame = new Uint8Array(64 << 10)
    let sent = 0
    const sending = (async () => {
      for (; sent < 400; sent++) await stream.send(frame)
      await stream.close()
    })()
    await until(() => taken)
    let before = -1
    while (before !== sent) {
      before = sent
      await systemClock.sleep(100)
    }
    // What both sides hold: a window of at most 1 MB, and half a megabyte in each.
    expect(sent * frame.byteLength).toBeLessThan(8 << 20)
    let bytes = 0
    for await (const got of taken!.frames()) bytes += got.byteLength
    await sending
    expect(bytes).toBe(400 * frame.byteLength)
  })

  it('throw in the reader when the other side resets or vanishes, and in its own sender', async () => {
    const [a, b] = await pair()
    const ends: string[] = []
    b.handleStream('end', async (stream) => {
      try {
        for await (const _ of stream.frames());
        ends.push('orderly')
      } catch {
        ends.push('error')
      }
    })
    const reset = await a.openStream(idOf(b), 'end', CALL)
    await reset.send(Uint8Array.of(1))
    reset.abort(new Error('no more'))
    await until(() => ends.length === 1)
    const lost = await a.openStream(idOf(b), 'end', CALL)
    await a.close()
    await until(() => ends.length === 2)
    expect(ends).toEqual(['error', 'error'])
    await expect(lost.send(Uint8Array.of(1))).rejects.toThrow()
  })

  it('refuse frames and protocols that are not taken', async () => {
    const [a, b] = await pair({}, { limits: { maxAskBytes: 1000 } })
    b.handleStream('small', async (stream) => {
      await Promise.allSettled([stream.frames()[Symbol.asyncIterator]().next()])
    })
    await expect(a.openStream(idOf(b), 'none', CALL)).rejects.toMatchObject({ code: 'unsupported' })
    const stream = await b.openStream(idOf(a), 'none', CALL).catch((error: unknown) => error)
    expect(stream).toMatchObject({ code: 'unsupported' })
    const large = await a.openStream(idOf(b), 'small', CALL)
    await large.send(new Uint8Array(1001)).catch(() => {})
    // Breaking the protocol costs the connection.
    await until(() => b.peer(idOf(a)) === undefined)
  })
})

describe('gossip', () => {
  it('reaches every server once, through others too, and no client', async () => {
    const names = ['a', 'b', 'c', 'd']
    const servers = await Promise.all(names.map((name) => open({ name })))
    const client = await open({ name: 'client', role: 'client' })
    const got = new Map<string, string[]>()
    for (const host of [...servers, client]) {
      got.set(host.self.node, [])
      host.onGossip((message) => {
        got.get(host.self.node)!.push(Buffer.from(message).toString())
        return 'accept'
      })
    }
    for (let at = 1; at < servers.length; at++) await servers[at]!.join(servers[at - 1]!.addresses[0]!, CALL)
    await client.join(servers[0]!.addresses[0]!, CALL)
    let sent = 0
    await until(() => {
      servers[0]!.publish(Buffer.from(`message ${sent++}`))
      return got.get('d')!.length > 0
    })
    for (const messages of got.values()) expect(new Set(messages).size).toBe(messages.length)
    expect(got.get('client')).toEqual([])
    client.publish(Buffer.from('from a client'))
    servers[3]!.publish(Buffer.from('back'))
    await until(() => got.get('a')!.includes('back'))
    expect([...got.values()].flat()).not.toContain('from a client')
  })

  it('is not passed on when it was not accepted', async () => {
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => open({ name })))
    await b!.join(a!.addresses[0]!, CALL)
    await c!.join(b!.addresses[0]!, CALL)
    const atC: string[] = []
    b!.onGossip((message) => {
      const text = Buffer.from(message).toString()
      if (text === 'throw') throw new Error('handler')
      return text === 'bad' ? 'reject' : text === 'dull' ? 'ignore' : 'accept'
    })
    c!.onGossip((message) => {
      atC.push(Buffer.from(message).toString())
      return 'accept'
    })
    let sent = 0
    await until(() => {
      a!.publish(Buffer.from(`${sent++}`))
      return atC.length > 0
    })
    for (const text of ['bad', 'dull', 'throw', 'good']) a!.publish(Buffer.from(text))
    await until(() => atC.includes('good'))
    expect(atC).not.toContain('bad')
    expect(atC).not.toContain('dull')
    expect(atC).not.toContain('throw')
  })

  it('keeps bursts bounded, and what is too large to itself', async () => {
    const [a, b] = await pair({ limits: { maxGossipQueue: 100, maxGossipBytes: 1000 } })
    let got = 0
    b.onGossip((message) => {
      expect(message.byteLength).toBeLessThan(1000)
      got++
      return 'accept'
    })
    await until(() => {
      a.publish(Buffer.from(`first ${Math.random()}`))
      return got > 0
    })
    const before = got
    a.publish(new Uint8Array(1001))
    for (let at = 0; at < 1000; at++) a.publish(Buffer.from(`burst ${at}`))
    await until(() => got >= before + 100)
    expect(got).toBeLessThan(before + 200)
  })
})

describe('signatures and times', () => {
  it('prove who signed, to all of the mesh and nobody else', async () => {
    const [a, b] = await pair()
    const bytes = Buffer.from('a head')
    const signature = a.sign(bytes)
    for (let i = 0; i < 2; i++) expect(b.verify(a.certificate, bytes, signature)).toEqual(a.self)
    expect(b.verify(a.certificate, Buffer.from('another'), signature)).toBeUndefined()
    expect(b.verify(b.certificate, bytes, signature)).toBeUndefined()
    expect(b.verify(new Uint8Array(10), bytes, signature)).toBeUndefined()
    expect(b.verify(a.certificate, bytes, new Uint8Array(3))).toBeUndefined()
  })

  it('are measured on the call stream', async () => {
    const [a, b] = await pair()
    await until(() => (a.roundTripMs(idOf(b)) ?? 99) < 50)
    await until(() => (a.silentMs(idOf(b)) ?? 9999) < 1000)
    expect(a.silentMs('12D3nobody')).toBeUndefined()
    expect(a.roundTripMs('12D3nobody')).toBeUndefined()
  })

  it('let certificates be renewed while connected, and hang up when one expires', async () => {
    // Long enough that a machine that does other things too renews in time.
    const life = 1500
    const short = (renew: boolean) => {
      const dev = devAuthority(MESH)
      let issued = 0
      return {
        ...dev,
        issue: async (request: Parameters<typeof dev.issue>[0]) => {
          if (issued++ > 0 && !renew) throw new Error('the authority is away')
          // The dev authority's are valid for a week from `nowMs`.
          return dev.issue({ ...request, nowMs: request.nowMs - 7 * 86_400_000 + life })
        },
      }
    }
    for (const renew of [true, false]) {
      const limits = { pingEveryMs: 50 }
      const a = await open({ name: 'a', limits })
      const b = await open({ name: 'b', limits, authority: short(renew) })
      const first = b.certificate
      await b.join(a.addresses[0]!, CALL)
      let downs = 0
      a.onPeer(({ type }) => type === 'down' && downs++)
      await systemClock.sleep(2 * life + 200)
      expect(downs).toBe(renew ? 0 : 1)
      expect(Buffer.compare(first, b.certificate) === 0).toBe(!renew)
    }
  })
})

describe('closing', () => {
  it('fails what waits, at once, and is done in two seconds', async () => {
    const [a, b] = await pair()
    b.handle('wait', () => new Promise(() => {}))
    b.handleStream('hold', () => {})
    const call = a.call(idOf(b), 'wait', 0, CALL)
    const failed = expect(call).rejects.toMatchObject({ code: 'timeout' })
    const stream = await a.openStream(idOf(b), 'hold', CALL)
    const reading = expect(stream.frames()[Symbol.asyncIterator]().next()).rejects.toThrow()
    const began = systemClock.nowMs()
    await a.close()
    await a.close()
    expect(systemClock.nowMs() - began).toBeLessThan(2000)
    await failed
    await reading
    await expect(a.call(idOf(b), 'wait', 0, CALL)).rejects.toMatchObject({ code: 'unavailable' })
    await expect(a.join(b.addresses[0]!, CALL)).rejects.toMatchObject({ code: 'unavailable' })
    await until(() => b.peers().length === 0)
  })

  it('says which address could not be listened on', async () => {
    const a = await open()
    const port = Number(/tcp\/(\d+)/.exec(a.addresses[0]!)![1])
    await expect(open({ listen: { host: '127.0.0.1', port } })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(String(port)),
    })
    await expect(open({ listen: { host: 'no.address', port: 0 } })).rejects.toMatchObject({ code: 'invalid' })
  })
})
