import { describe, expect, it } from 'vitest'
import type { PeerIdentity } from '../host.ts'
import { beacon, delta, head } from '../testing/heads.ts'
import { EMPTY_DIGEST } from './digest.ts'
import { Directory } from './directory.ts'
import type { Opened } from './head.ts'
import type { Message } from './messages.ts'
import { Reception } from './reception.ts'

const identity = (peerId: string, datacenter = 'eu-1', datacenterId = `id-${datacenter}`): PeerIdentity => ({
  peerId,
  datacenter,
  datacenterId,
  node: peerId,
  nodeId: peerId,
  role: 'server',
})
const self = identity('self', 'us-1')

class Harness {
  readonly directory = new Directory()
  readonly reception = new Reception(self, this.directory)

  receive(message: Message, from = identity('p1', message.datacenter, message.datacenterId), direct?: string) {
    const opened: Opened = { message, identity: from, bytes: new Uint8Array(1) }
    const { passOn, effects } = this.reception.receive(opened, 'gossip', direct, 0)
    return { passOn, effects: effects.map(({ type }) => type) }
  }
}
const of = (datacenter: string, revision: number, datacenterId = `id-${datacenter}`) =>
  head(revision, EMPTY_DIGEST, { datacenter, datacenterId })

describe('a message', () => {
  it('of another datacenter feeds its replica, and goes on once', () => {
    const at = new Harness()
    expect(at.receive(beacon(of('eu-1', 3)))).toEqual({ passOn: true, effects: ['heard', 'feed'] })
    expect(at.receive(beacon(of('eu-1', 2)))).toEqual({ passOn: false, effects: ['heard', 'feed'] })
  })
  it('goes on when it is a delta, however late: somebody may lack it', () => {
    const at = new Harness()
    at.receive(beacon(of('eu-1', 3)))
    expect(at.receive(delta(1, of('eu-1', 2), [])).passOn).toBe(true)
  })
  it('of the own datacenter is held against the own store, and feeds nobody', () => {
    const at = new Harness()
    expect(at.receive(beacon(of('us-1', 3)), identity('fellow', 'us-1')).effects).toEqual(['own-head', 'heard'])
  })
  it('that this node said is an echo', () => {
    const at = new Harness()
    expect(at.receive(beacon(of('us-1', 3)), self)).toEqual({ passOn: false, effects: ['own-head', 'own-echo'] })
  })
  it('of another datacenter under the same name is a conflict, and feeds nobody', () => {
    const at = new Harness()
    at.receive(beacon(of('eu-1', 3)))
    expect(at.receive(beacon(of('eu-1', 9, 'id-imposter')))).toEqual({ passOn: false, effects: ['conflict'] })
  })
})

describe('a gateway whose clock was set back', () => {
  const reborn = (boot: number): Message => beacon({ ...of('eu-1', 3), boot })
  it('is known by the lower boot, and has to be told of the higher one', () => {
    const at = new Harness()
    at.receive(reborn(9))
    expect(at.receive(reborn(5)).effects).toContain('outdated')
    expect(at.receive(reborn(10)).effects).not.toContain('outdated')
  })
  it('also after it left', () => {
    const at = new Harness()
    at.receive(reborn(9))
    at.receive({ type: 'leave', datacenter: 'eu-1', datacenterId: 'id-eu-1', boot: 9, sequence: 8 })
    expect(at.receive(reborn(5)).effects).toEqual(['outdated'])
  })
})

describe('the own name', () => {
  it('belongs to the own datacenter, also before anybody of it spoke', () => {
    const at = new Harness()
    expect(at.receive(beacon(of('us-1', 9, 'id-imposter'))).effects).toEqual(['conflict'])
    expect(at.receive(beacon(of('us-1', 1)), identity('fellow', 'us-1')).effects).toEqual(['own-head', 'heard'])
  })
  it('does so after the last of its gateways left, too', () => {
    const at = new Harness()
    at.receive(beacon(of('us-1', 1)), identity('fellow', 'us-1'))
    const about = { datacenter: 'us-1', datacenterId: 'id-us-1', boot: 1, sequence: 5 }
    expect(at.receive({ type: 'leave', ...about }, identity('fellow', 'us-1')).effects).toEqual(['left'])
    expect(at.receive(beacon(of('us-1', 9, 'id-imposter'))).effects).toEqual(['conflict'])
  })
})

describe('the end of a transfer', () => {
  it('counts for nothing when it is of a datacenter that took the name', () => {
    const at = new Harness()
    at.receive(beacon(of('eu-1', 3)))
    const end = (message: Message) =>
      at.reception.receiveEnd(
        { message, identity: identity('p2', 'eu-1', message.datacenterId), bytes: new Uint8Array(1) },
        false,
        0,
      )
    expect(end(beacon(of('eu-1', 9, 'id-imposter')))).toBeUndefined()
    expect(end(beacon(of('eu-1', 4)))).toEqual({ fresh: true })
  })
})
