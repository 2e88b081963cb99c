/**
 * How each other DC is reached: directly where that works, else through a third gateway that says it reaches one of its
 * gateways. (who is connected and answers, what beacons say, now) in, relays to dial through and connections to let go out. One
 * way through is enough for a DC; the shortest is taken, another when it dies or a clearly shorter one stays so.
 */
import { type Reach, reachOf } from './reach.ts'

/** A server that is connected. */
export interface Neighbour {
  readonly peerId: string
  readonly datacenter: string
  /** Since it was heard last. */
  readonly silentMs: number
  /** Undefined while unmeasured. */
  readonly roundTripMs: number | undefined
  /** The connection goes through another peer; this side began it. */
  readonly relayed: boolean
  readonly dialled: boolean
}

/** A gateway of another DC, or a neighbour. */
export interface KnownGateway {
  readonly peerId: string
  readonly datacenter: string
  /** Names its life. */
  readonly boot: number
  /** What it said of itself, and how long ago. */
  readonly reach: Reach | undefined
  readonly reachAgeMs: number
}

export interface WaysView {
  readonly self: { readonly peerId: string; readonly datacenter: string }
  readonly neighbours: readonly Neighbour[]
  readonly gateways: readonly KnownGateway[]
  /** A neighbour that is silent for longer reaches nobody. */
  readonly suspectMs: number
}

export type WaysEffect =
  /** Dial the gateway through the relay, and call `ended`. */
  | { readonly type: 'dial'; readonly peerId: string; readonly relay: string }
  /** Its DC is reached directly: hang up. */
  | { readonly type: 'release'; readonly peerId: string }

interface Route {
  readonly peerId: string
  readonly relay: string
  readonly roundTripMs: number
  readonly misses: number
}

interface Destination {
  /** No gateway is connected directly and answers. Undefined while one does. */
  uncoveredMs: number | undefined
  /** Undefined while none is covered directly. */
  coveredMs: number | undefined
  wasCovered: boolean
  dialling: boolean
  /** Dials in a row that failed, and no further one before. */
  misses: number
  restUntilMs: number
  /** A clearly shorter way was seen first at that time, without interruption. */
  betterMs: number | undefined
  /** Lives of its gateways, as they were when it was last covered directly. */
  readonly boots: Map<string, number>
  /** By `gateway relay`: not before, and how often in a row it failed. */
  readonly failed: Map<string, { untilMs: number; times: number }>
}

/** A DC that was never reached directly is dialled directly first; one whose connections broke is mostly back at once. */
const FIRST_MS = 3000
const BROKEN_MS = 1500
/** A node that was not asked for so long stood still: what others said meanwhile is read within as long again. */
const STALL_MS = 400
/** Of two ends the larger waits: one connection is enough. */
const LARGER_MS = 700
/** A relay is not needed any more once the direct way has lasted so long. */
const RELEASE_MS = 10_000
const RETRY_MIN_MS = 1000
const RETRY_MAX_MS = 30_000
/**
 * After so many dials in a row that failed the others are asked later: a gateway that died is soon missing from what they say
 * of whom they reach, and need not be asked for through each of them.
 */
const TRIES = 2
const REST_MIN_MS = 1000
const REST_MAX_MS = 4000
/** What was said longer ago is not known any more: it is repeated every ten seconds. */
const REACH_VALID_MS = 30_000
/** Another way is taken when it is shorter by both for so long. */
const SHORTER_RATIO = 0.8
const SHORTER_MS = 10
const SHORTER_FOR_MS = 3000
/** Relays that say nothing of whom they reach come last. */
const UNKNOWN_MS = 1_000_000
const MAX_DIALS = 16

export class Ways {
  readonly #destinations = new Map<string, Destination>()
  #tickMs = Number.POSITIVE_INFINITY
  #wokeMs = Number.NEGATIVE_INFINITY

  /** Call every few hundred milliseconds, and when somebody came or went. */
  tick(view: WaysView, nowMs: number): WaysEffect[] {
    if (nowMs - this.#tickMs > STALL_MS) this.#wokeMs = nowMs
    this.#tickMs = nowMs
    const effects: WaysEffect[] = []
    const byDatacenter = new Map<string, KnownGateway[]>()
    for (const gateway of view.gateways) {
      if (gateway.datacenter === view.self.datacenter) continue
      const list = byDatacenter.get(gateway.datacenter)
      if (list) list.push(gateway)
      else byDatacenter.set(gateway.datacenter, [gateway])
    }
    for (const datacenter of this.#destinations.keys())
      if (!byDatacenter.has(datacenter)) this.#destinations.delete(datacenter)
    const covered = new Set<string>()
    for (const each of view.neighbours) if (!each.relayed && answers(view, each)) covered.add(each.datacenter)
    for (const [datacenter, gateways] of byDatacenter) {
      const destination = this.#destination(datacenter)
      if (covered.has(datacenter)) this.#covered(destination, view, datacenter, nowMs, effects)
      else this.#uncovered(destination, view, gateways, nowMs, effects)
    }
    return effects
  }

  /** A dial that an effect asked for has ended. */
  ended({ peerId, relay, datacenter, ok }: Dialled, nowMs: number): void {
    const destination = this.#destinations.get(datacenter)
    if (!destination) return
    destination.dialling = false
    const key = `${peerId} ${relay}`
    if (ok) {
      destination.failed.delete(key)
      rested(destination)
      return
    }
    if (++destination.misses % TRIES === 0)
      destination.restUntilMs =
        nowMs + Math.min(REST_MAX_MS, REST_MIN_MS * 2 ** Math.min(destination.misses / TRIES - 1, 8))
    const times = (destination.failed.get(key)?.times ?? 0) + 1
    const untilMs = nowMs + Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(times - 1, 8))
    destination.failed.set(key, { untilMs, times })
  }

  #destination(datacenter: string): Destination {
    let destination = this.#destinations.get(datacenter)
    if (!destination) {
      destination = {
        uncoveredMs: undefined,
        coveredMs: undefined,
        wasCovered: false,
        dialling: false,
        misses: 0,
        restUntilMs: Number.NEGATIVE_INFINITY,
        betterMs: undefined,
        boots: new Map(),
        failed: new Map(),
      }
      this.#destinations.set(datacenter, destination)
    }
    return destination
  }

  #covered(destination: Destination, view: WaysView, datacenter: string, nowMs: number, effects: WaysEffect[]): void {
    destination.uncoveredMs = undefined
    destination.betterMs = undefined
    destination.boots.clear()
    destination.wasCovered = true
    destination.coveredMs ??= nowMs
    if (destination.failed.size > 0) destination.failed.clear()
    rested(destination)
    if (nowMs - destination.coveredMs < RELEASE_MS) return
    // Who dialled lets go: the other side may need it.
    for (const { peerId, relayed, dialled, ...each } of view.neighbours)
      if (each.datacenter === datacenter && relayed && dialled) effects.push({ type: 'release', peerId })
  }

  #uncovered(
    destination: Destination,
    view: WaysView,
    gateways: readonly KnownGateway[],
    nowMs: number,
    effects: WaysEffect[],
  ): void {
    destination.coveredMs = undefined
    destination.uncoveredMs ??= nowMs
    if (hasRestarted(destination, gateways)) {
      // It dials everybody, and is dialled: what it has no time for now is a second handshake through others.
      destination.uncoveredMs = nowMs
      destination.wasCovered = false
      rested(destination)
    }
    if (nowMs - this.#wokeMs < STALL_MS || nowMs < destination.restUntilMs) return
    if (destination.dialling || this.#dials() >= MAX_DIALS) return
    const current = this.#current(view, gateways)
    const route = this.#shortest(destination, view, gateways, current, nowMs)
    if (!route) {
      destination.betterMs = undefined
      return
    }
    const due = current
      ? this.#isDueAsShorter(destination, route, current, nowMs)
      : nowMs - destination.uncoveredMs >= this.#graceMs(destination, view, route)
    if (!due) return
    destination.dialling = true
    destination.betterMs = undefined
    effects.push({ type: 'dial', peerId: route.peerId, relay: route.relay })
  }

  #dials(): number {
    let count = 0
    for (const { dialling } of this.#destinations.values()) if (dialling) count++
    return count
  }

  /** The shortest relayed connection that answers. */
  #current(view: WaysView, gateways: readonly KnownGateway[]): Neighbour | undefined {
    const relayed = view.neighbours.filter(
      (each) => each.relayed && answers(view, each) && gateways.some(({ peerId }) => peerId === each.peerId),
    )
    return relayed.sort((a, b) => (a.roundTripMs ?? UNKNOWN_MS) - (b.roundTripMs ?? UNKNOWN_MS))[0]
  }

  #graceMs(destination: Destination, { self, neighbours }: WaysView, { peerId }: Route): number {
    const larger = self.peerId > peerId ? LARGER_MS : 0
    if (!destination.wasCovered) return FIRST_MS + larger
    const silent = neighbours.find((each) => each.peerId === peerId)
    // One that answered before has waited already; one that never did is about to come up at the other side too.
    return (silent?.roundTripMs === undefined ? BROKEN_MS : 0) + larger
  }

  #isDueAsShorter(destination: Destination, route: Route, current: Neighbour, nowMs: number): boolean {
    const nowTakesMs = current.roundTripMs
    const shorter =
      current.dialled &&
      nowTakesMs !== undefined &&
      route.roundTripMs <= nowTakesMs * SHORTER_RATIO &&
      route.roundTripMs <= nowTakesMs - SHORTER_MS
    destination.betterMs = shorter ? (destination.betterMs ?? nowMs) : undefined
    return destination.betterMs !== undefined && nowMs - destination.betterMs >= SHORTER_FOR_MS
  }

  #shortest(
    { failed }: Destination,
    view: WaysView,
    gateways: readonly KnownGateway[],
    current: Neighbour | undefined,
    nowMs: number,
  ): Route | undefined {
    const reachOfPeer = new Map(view.gateways.map((gateway) => [gateway.peerId, gateway]))
    let best: Route | undefined
    for (const relay of view.neighbours) {
      if (relay.relayed || !answers(view, relay)) continue
      for (const { peerId } of gateways) {
        const former = failed.get(`${peerId} ${relay.peerId}`)
        if (peerId === relay.peerId || nowMs < (former?.untilMs ?? 0)) continue
        const roundTripMs = throughMs(relay, reachOfPeer.get(relay.peerId), peerId)
        // Something else than what there is must be known to be shorter.
        if (roundTripMs === undefined || (current && roundTripMs >= UNKNOWN_MS)) continue
        // Where there is none yet, those that failed come after the others.
        const route = { peerId, relay: relay.peerId, roundTripMs, misses: current ? 0 : (former?.times ?? 0) }
        if (!best || isBefore(route, best)) best = route
      }
    }
    return best
  }
}

export interface Dialled {
  readonly peerId: string
  readonly relay: string
  readonly datacenter: string
  readonly ok: boolean
}

/** The next way is tried at once. */
function rested(destination: Destination): void {
  destination.misses = 0
  destination.restUntilMs = Number.NEGATIVE_INFINITY
}

/** Whether a gateway began a new life since that was asked last. */
function hasRestarted({ boots }: Destination, gateways: readonly KnownGateway[]): boolean {
  let restarted = false
  for (const { peerId, boot } of gateways) {
    const former = boots.get(peerId)
    if (former === boot) continue
    boots.set(peerId, boot)
    if (former !== undefined) restarted = true
  }
  return restarted
}

const answers = (view: WaysView, { silentMs }: Neighbour): boolean => silentMs <= view.suspectMs

/** Both ways together; undefined when the relay says that it does not reach that gateway. */
function throughMs(relay: Neighbour, known: KnownGateway | undefined, peerId: string): number | undefined {
  const firstMs = relay.roundTripMs ?? 0
  if (!known?.reach || known.reachAgeMs > REACH_VALID_MS) return UNKNOWN_MS + firstMs
  const secondMs = reachOf(known.reach, peerId)
  return secondMs === undefined ? undefined : firstMs + secondMs
}

/** Equal ways are told apart by their names, so that all nodes choose alike. */
function isBefore(a: Route, b: Route): boolean {
  if (a.misses !== b.misses) return a.misses < b.misses
  if (a.roundTripMs !== b.roundTripMs) return a.roundTripMs < b.roundTripMs
  return a.peerId < b.peerId || (a.peerId === b.peerId && a.relay < b.relay)
}
