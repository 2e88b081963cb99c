import { afterEach, describe, expect, it } from 'vitest'
import { openTestHost, orderedIdentities, trapUncaught, until, wanted } from '../../../test/support/hosts.ts'
import { systemClock } from '../../runtime/clock.ts'
import type { Host, Twin } from '../host.ts'
import type { Identity } from './identity.ts'
import { startedLater } from './twins.ts'

const hosts: Host[] = []
const open = async (name: string, identity: Identity): Promise<Host> => {
  const host = await openTestHost({ name, identity, clock: clockOf(name) })
  hosts.push(host)
  return host
}
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()))
})

/** The later of two began two seconds ago less than the earlier: nobody has to wait for that. */
const clockOf = (name: string): typeof systemClock =>
  name === 'earlier' ? { ...systemClock, nowMs: startingAgo(5000) } : systemClock
function startingAgo(ms: number): () => number {
  let first = true
  return () => {
    const nowMs = systemClock.nowMs()
    if (!first) return nowMs
    // Only what it first reads, its start, is so long ago.
    first = false
    return nowMs - ms
  }
}

const CALL = { deadlineMs: 5000 }
const heard = (host: Host): Twin[] => {
  const twins: Twin[] = []
  host.onTwin((twin) => twins.push(twin))
  return twins
}

describe('two lives under one key', () => {
  it.each([
    ['later', 9000, 'a', 2000, 'b', true],
    ['earlier', 2000, 'b', 9000, 'a', false],
    ['together: by the boot id', 5000, 'b', 5600, 'a', true],
    ['together: by the boot id, the other way', 5600, 'a', 5000, 'b', false],
    ['too old to say', undefined, 'a', 5000, 'b', undefined],
  ])('%s', (_, startedMs, bootId, otherMs, otherId, expected) => {
    expect(startedLater({ startedMs, bootId }, { startedMs: otherMs, bootId: otherId })).toBe(expected)
  })
})

describe.each([0, 1])('a second process with a key, where the peer that meets both has the %i. id', (at) => {
  const identities = async (): Promise<[Identity, Identity]> => {
    const both = await orderedIdentities(2)
    return [both[at]!, both[1 - at]!]
  }

  it('is refused when it started later, again and again, and the first stays connected', async () => {
    const uncaught = trapUncaught()
    const [own, shared] = await identities()
    const peer = await open('peer', own)
    const first = await open('earlier', shared)
    first.want([wanted(peer)])
    peer.want([wanted(first)])
    const up = await until(() => peer.peer(first.self.peerId))
    const events: string[] = []
    peer.onPeer(({ type }) => events.push(type))
    const twins = heard(peer)
    const second = await open('later', shared)
    const refusal = { code: 'forbidden', field: 'identity.key' }
    await expect(second.join(peer.addresses[0]!, CALL)).rejects.toMatchObject(refusal)
    const told = heard(second)
    second.want([wanted(peer)])
    await until(() => twins.length >= 3 && told.length >= 2)
    expect(told[0]).toMatchObject({ own: 'refused', kept: up.address, refused: '' })
    expect(peer.peer(first.self.peerId)?.bootId).toBe(up.bootId)
    expect(second.peers()).toEqual([])
    expect(events).toEqual([])
    expect(twins[0]).toMatchObject({ own: undefined, kept: up.address, identity: { node: 'later' } })
    peer.handle('echo', async (payload) => payload)
    expect(await first.call(peer.self.peerId, 'echo', 1, CALL)).toBe(1)
    uncaught.release()
    expect(uncaught.errors).toEqual([])
  })

  it('takes over when it started earlier, and the later one is refused from then on', async () => {
    const [own, shared] = await identities()
    const peer = await open('peer', own)
    const first = await open('earlier', shared)
    const later = await open('later', shared)
    await later.join(peer.addresses[0]!, CALL)
    const { bootId } = await until(() => peer.peer(first.self.peerId))
    const twins = heard(peer)
    later.want([wanted(peer)])
    await first.join(peer.addresses[0]!, CALL)
    await until(() => twins.length >= 3)
    const now = await until(() => peer.peer(first.self.peerId))
    expect(now.bootId).not.toBe(bootId)
    expect(later.peers()).toEqual([])
    expect(first.peer(peer.self.peerId)).toBeDefined()
  })
})

describe('a process that dials its own key', () => {
  it('knows its twin, and its twin knows it; the later one that it is to give way', async () => {
    const [shared] = await orderedIdentities(1)
    const earlier = await open('earlier', shared!)
    const later = await open('later', shared!)
    const twins = { earlier: heard(earlier), later: heard(later) }
    const refusal = { code: 'forbidden', field: 'identity.key' }
    await expect(later.join(earlier.addresses[0]!, CALL)).rejects.toMatchObject(refusal)
    await until(() => twins.earlier.length > 0)
    expect(twins.earlier[0]).toMatchObject({ own: 'kept', kept: '' })
    expect(twins.later[0]).toMatchObject({ own: 'refused', refused: '' })
  })

  it('and meets itself, is no twin', async () => {
    const [own] = await orderedIdentities(1)
    const host = await open('alone', own!)
    const twins = heard(host)
    await expect(host.join(host.addresses[0]!, CALL)).rejects.toMatchObject({ code: 'unavailable' })
    expect(twins).toEqual([])
  })
})
