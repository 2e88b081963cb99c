import { afterEach, describe, expect, it } from 'vitest'
import { ChildHost, type RuntimeName } from '../../../test/support/child-hosts.ts'
import { openTestHost, trapUncaught, until, wanted } from '../../../test/support/hosts.ts'
import { onNode } from '../../../test/support/on-node.ts'
import { systemClock } from '../../runtime/clock.ts'
import type { Host } from '../host.ts'

const children: ChildHost[] = []
const hosts: Host[] = []
const start = async (...args: Parameters<typeof ChildHost.start>): Promise<ChildHost> => {
  const child = await ChildHost.start(...args)
  children.push(child)
  return child
}
const open = async (options: Parameters<typeof openTestHost>[0]): Promise<Host> => {
  const host = await openTestHost(options)
  hosts.push(host)
  return host
}
afterEach(async () => {
  for (const child of children) expect(child.count('uncaught'), `uncaught in ${child.name}`).toBe(0)
  for (const child of children.splice(0)) child.signal('SIGKILL')
  await Promise.all(hosts.splice(0).map((host) => host.close()))
})

const CALL = { deadlineMs: 5000 }
const RUNTIMES: readonly RuntimeName[] = ['node', 'bun', 'deno']

// All of it is in processes of their own: once is enough.
describe.runIf(onNode)('a mesh of three runtimes', () => {
  it('connects in a ring, and calls, streams and gossips', { timeout: 60_000 }, async () => {
    const ring = await Promise.all(RUNTIMES.map((runtime) => start(runtime, runtime)))
    const next = (at: number): ChildHost => ring[(at + 1) % ring.length]!
    await Promise.all(ring.map((child, at) => child.ask('join', { address: next(at).address })))
    for (const [at, child] of ring.entries()) {
      expect(await child.ask('call', { peer: next(at).peerId, payload: { from: child.name } })).toEqual({
        from: child.name,
      })
    }
    const bytes = 10 << 20
    expect(await Promise.all(ring.map((child, at) => child.ask('send', { peer: next(at).peerId, bytes })))).toEqual([
      bytes,
      bytes,
      bytes,
    ])
    for (const child of ring) {
      const others = ring.filter((other) => other !== child)
      let sent = 0
      await until(() => {
        void child.ask('publish', { message: `${child.name} ${sent++}` })
        return others.every((other) => other.events.some((event) => event.message?.startsWith(child.name)))
      })
    }
    for (const child of ring) expect(await child.ask('peers')).toHaveLength(2)
  })
})

// What a host makes of it is its own runtime's; which one was killed is all the same then.
describe.each(onNode ? RUNTIMES : RUNTIMES.slice(0, 1))('a process on %s', (runtime) => {
  it('that is killed is seen to be gone at once, and again when it is back under its key', async () => {
    const uncaught = trapUncaught()
    const host = await open({ name: 'here' })
    const events: { type: string; atMs: number }[] = []
    host.onPeer(({ type }) => events.push({ type, atMs: systemClock.nowMs() }))
    const child = await start(runtime, 'there')
    host.want([child.wanted])
    await until(() => host.peer(child.peerId))
    const killedMs = systemClock.nowMs()
    child.signal('SIGKILL')
    await until(() => events.some(({ type }) => type === 'down'))
    // By its socket, not by its silence; 15 ms on a quiet machine.
    expect(events.at(-1)!.atMs - killedMs).toBeLessThan(1500)
    const again = await start(runtime, 'there', { seed: child.seed, port: child.port })
    const readyMs = systemClock.nowMs()
    await again.ask('want', { peers: [wanted(host)] })
    await until(() => host.peer(child.peerId))
    expect(events.at(-1)!.atMs - readyMs).toBeLessThan(5000)
    expect(await host.call(child.peerId, 'echo', 'back', CALL)).toBe('back')
    let sent = 0
    await until(() => {
      host.publish(Buffer.from(`after ${sent++}`))
      return again.count('gossip') > 0
    })
    expect(events.map(({ type }) => type)).toEqual(['up', 'down', 'up'])
    uncaught.release()
    expect(uncaught.errors).toEqual([])
  })

  it('that is stopped falls silent, is hung up on, and comes back', async () => {
    const host = await open({ name: 'here', limits: { maxSilenceMs: 1500 } })
    const child = await start(runtime, 'there')
    host.want([child.wanted])
    await child.ask('want', { peers: [wanted(host)] })
    await until(() => host.peer(child.peerId))
    const events: string[] = []
    host.onPeer(({ type }) => events.push(type))
    child.signal('SIGSTOP')
    await until(() => (host.silentMs(child.peerId) ?? 0) > 1000)
    await until(() => host.peer(child.peerId) === undefined)
    expect(host.silentMs(child.peerId)).toBeUndefined()
    child.signal('SIGCONT')
    await until(() => host.peer(child.peerId))
    expect(await host.call(child.peerId, 'echo', 1, CALL)).toBe(1)
    expect(events).toEqual(['down', 'up'])
  })

  it('that hangs does not hold up who closes, nor calls and gossip with others', async () => {
    const host = await open({ name: 'here', limits: { maxSilenceMs: 60_000 } })
    const hung = await start(runtime, 'hung')
    const well = await start(runtime, 'well')
    for (const child of [hung, well]) await child.ask('join', { address: host.addresses[0]! })
    await until(() => host.peers().length === 2)
    hung.signal('SIGSTOP')
    const stuck = expect(host.call(hung.peerId, 'echo', 1, { deadlineMs: 300 })).rejects.toMatchObject({
      code: 'timeout',
    })
    expect(await host.call(well.peerId, 'echo', 2, CALL)).toBe(2)
    let sent = 0
    await until(() => {
      host.publish(new Uint8Array(1000).fill(sent++))
      return well.count('gossip') > 100
    })
    await stuck
    const waiting = expect(host.call(hung.peerId, 'echo', 3, CALL)).rejects.toMatchObject({ code: 'timeout' })
    const began = systemClock.nowMs()
    await host.close()
    expect(systemClock.nowMs() - began).toBeLessThan(2000)
    await waiting
  })

  it('that hung gives way to a new one under the same key', async () => {
    const host = await open({ name: 'here', limits: { maxSilenceMs: 60_000 } })
    const child = await start(runtime, 'there')
    await child.ask('join', { address: host.addresses[0]! })
    const before = await until(() => host.peer(child.peerId))
    child.signal('SIGSTOP')
    const again = await start(runtime, 'there', { seed: child.seed })
    await again.ask('join', { address: host.addresses[0]! })
    const after = await until(() => {
      const peer = host.peer(child.peerId)
      return peer?.bootId === before.bootId ? undefined : peer
    })
    expect(after.bootId).not.toBe(before.bootId)
    expect(await host.call(child.peerId, 'echo', 2, CALL)).toBe(2)
    let sent = 0
    await until(() => {
      host.publish(Buffer.from(`new ${sent++}`))
      return again.count('gossip') > 0
    })
  })
})
