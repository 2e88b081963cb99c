/**
 * What becomes of a signed message, however it came: (opened message, now) in; noted in the directory, judged for gossip,
 * and what it is to the rest of the node, out.
 */
import type { PeerIdentity } from '../host.ts'
import { ProtocolError } from './codec.ts'
import type { Directory, Heard, Via } from './directory.ts'
import type { Opened, Stamp } from './head.ts'
import type { Heartbeat } from './heartbeat.ts'
import type { BeaconMessage, DeltaMessage, Head } from './messages.ts'

export type ReceptionEffect =
  /** A signed head of this node's own DC. */
  | { readonly type: 'own-head'; readonly head: Head; readonly signer: string }
  /** A message that this very node signed, in this life or a former one. */
  | { readonly type: 'own-echo'; readonly stamp: Stamp }
  /** A second DC under a name that is taken. */
  | { readonly type: 'conflict'; readonly datacenter: string }
  /** A gateway left; `datacenterGone`: it was the last of its DC, which is to be forgotten. */
  | { readonly type: 'left'; readonly datacenter: string; readonly gone: boolean; readonly datacenterGone: boolean }
  | { readonly type: 'heard'; readonly datacenter: string; readonly heard: Extract<Heard, { type: 'heard' }> }
  /** For the replica of its DC. */
  | {
      readonly type: 'feed'
      readonly message: BeaconMessage | DeltaMessage
      readonly bytes: Uint8Array
      readonly fresh: boolean
    }
  /** A gateway speaks as one of a former life than is known of it: if that is what it is now, it has to be told. */
  | { readonly type: 'outdated'; readonly peerId: string }
  /** A gateway said just now that it suspects this node's own DC to be gone. */
  | { readonly type: 'suspected' }

export interface Received {
  /** Whether gossip passes it on. */
  readonly passOn: boolean
  /** Strictly newer than all that its gateway said before. */
  readonly fresh: boolean
  readonly effects: readonly ReceptionEffect[]
}

const NOTHING: Received = { passOn: false, fresh: false, effects: [] }

export class Reception {
  readonly #self: PeerIdentity
  readonly #directory: Directory

  constructor(self: PeerIdentity, directory: Directory) {
    this.#self = self
    this.#directory = directory
    this.#pinOwn()
  }

  /** The own name belongs to the own DC, whoever else claims it first. */
  #pinOwn(): void {
    this.#directory.pin(this.#self.datacenter, this.#self.datacenterId)
  }

  /** `directPeer`: the peer id at the other end of the connection that it came on, where that is known. */
  receive(opened: Opened, via: Via, directPeer: string | undefined, nowMs: number): Received {
    const { message, identity } = opened
    // Not understood: a later version's kind. Places are no news of a DC's content or life.
    if (message.type === 'unknown' || message.type === 'place') return { ...NOTHING, passOn: true }
    const effects: ReceptionEffect[] = []
    const own = message.datacenter === this.#self.datacenter
    if (own && 'head' in message && message.datacenterId === this.#self.datacenterId)
      effects.push({ type: 'own-head', head: message.head, signer: identity.peerId })
    if (identity.peerId === this.#self.peerId) {
      effects.push({ type: 'own-echo', stamp: 'head' in message ? message.head : message })
      return { ...NOTHING, effects }
    }
    const heard = this.#directory.hear(opened, directPeer === identity.peerId ? 'direct' : via, nowMs)
    const { fresh, latest } = this.#note(heard, message.datacenter, effects)
    if (via !== 'hearsay' && this.#directory.isOutdated(opened))
      effects.push({ type: 'outdated', peerId: identity.peerId })
    if ('head' in message && !own && this.#directory.datacenterId(message.datacenter) === message.datacenterId)
      effects.push({ type: 'feed', message, bytes: opened.bytes, fresh })
    if (fresh && message.type === 'beacon' && message.suspects.includes(this.#self.datacenter))
      effects.push({ type: 'suspected' })
    // What came by a tail before it came by gossip is still to be passed on: others may have no such tail. A delta that
    // comes late may still be what somebody lacks.
    return { passOn: latest || message.type === 'delta' || message.type === 'leave', fresh, effects }
  }

  /** What is not signed: it repeats a beacon that was. ProtocolError when it is made up. */
  heartbeat(heartbeat: Heartbeat, nowMs: number): Received {
    const heard = this.#directory.heartbeat(heartbeat, nowMs)
    if (heard.type === 'false') throw new ProtocolError('heartbeat is of no chain')
    if (heard.type === 'ignored') return NOTHING
    const { fresh, beacon } = heard
    if (beacon.identity.peerId === this.#self.peerId) return NOTHING
    const { message } = beacon
    const feeds = fresh && message.type === 'beacon' && message.datacenter !== this.#self.datacenter
    return { passOn: true, fresh, effects: feeds ? [{ type: 'feed', message, fresh, bytes: beacon.bytes }] : [] }
  }

  #note(heard: Heard, datacenter: string, effects: ReceptionEffect[]): { fresh: boolean; latest: boolean } {
    switch (heard.type) {
      case 'conflict':
        effects.push({ type: 'conflict', datacenter })
        return { fresh: false, latest: false }
      case 'left': {
        const { gone, datacenterGone } = heard
        if (datacenterGone) this.#pinOwn()
        effects.push({ type: 'left', datacenter, gone, datacenterGone })
        return { fresh: gone, latest: gone }
      }
      case 'heard':
        effects.push({ type: 'heard', datacenter, heard })
        return heard
      case 'ignored':
        return { fresh: false, latest: false }
    }
  }

  /**
   * What ends a transfer: it too is noted. Undefined when it is of another DC that has taken the name, and counts for nothing.
   * `thirdParty`: told from memory.
   */
  receiveEnd(opened: Opened, thirdParty: boolean, nowMs: number): { readonly fresh: boolean } | undefined {
    const heard = this.#directory.hear(opened, thirdParty ? 'hearsay' : 'gossip', nowMs)
    return heard.type === 'conflict' ? undefined : { fresh: heard.type === 'heard' && heard.fresh }
  }
}
