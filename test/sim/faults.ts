/** What goes wrong, when, and for how long. */
import type { FaultKind } from './coverage.ts'
import { copyOfDisk } from './disk.ts'
import { IMPOSTER, type SimNode } from './node.ts'
import { SimStore } from './store.ts'
import type { SimDatacenter, World } from './world.ts'

interface Due {
  readonly atMs: number
  readonly run: () => void
}

type Drawn = Exclude<FaultKind, 'raise-fails'>

/** How often each kind is drawn; those that need a whole DC to stop are rarer. */
const WEIGHTS: Readonly<Record<Drawn, number>> = {
  'lossy-link': 6,
  'duplicating-link': 4,
  'reordering-link': 4,
  partition: 5,
  'partition-one-way': 6,
  'isolate-datacenter': 2,
  'split-mesh': 1,
  'partition-inside': 2,
  'isolate-gateway': 2,
  'isolate-gateway-one-way': 2,
  crash: 5,
  'crash-without-disk': 3,
  'crash-datacenter': 1,
  'store-lost': 1.5,
  'store-rolled-back': 2,
  'disk-rolled-back': 2,
  'clock-jump': 3,
  stall: 5,
  'slow-node': 2,
  leave: 2,
  compact: 4,
  'stream-break': 6,
  'empty-read': 2,
  'generation-raise': 2.5,
  'large-write': 0.5,
  flood: 1,
  imposter: 1,
  replay: 1.5,
  mute: 4,
}
const KINDS = Object.keys(WEIGHTS) as Drawn[]

/** How long what was heard is told again. */
const REPLAYED_FOR_MS = 9000

/** Larger than a delta in gossip may be. */
const LARGE_BYTES = 50_000

interface Way {
  readonly from: SimDatacenter
  readonly to: SimDatacenter
}
const ways = (from: SimDatacenter, to: SimDatacenter): Way[] => [{ from, to }]

export class Faults {
  readonly #world: World
  #due: Due[] = []
  #nextFaultMs: number
  readonly #everyMs: number
  /** Of this seed: some kinds more, some never. */
  readonly #weights: readonly number[]
  readonly #total: number

  constructor(world: World) {
    const { random } = world
    this.#world = world
    this.#everyMs = 60 + 500 * random.float() ** 2
    this.#nextFaultMs = 300 + 2000 * random.float()
    this.#weights = KINDS.map((kind) => WEIGHTS[kind] * (random.float() < 0.3 ? 0 : 2 * random.float()))
    this.#total = this.#weights.reduce((sum, weight) => sum + weight, 0)
  }

  get nextMs(): number {
    return Math.min(this.#nextFaultMs, this.#due[0]?.atMs ?? Number.POSITIVE_INFINITY)
  }

  at(atMs: number, run: () => void): void {
    const index = this.#due.findIndex((due) => due.atMs > atMs)
    this.#due.splice(index < 0 ? this.#due.length : index, 0, { atMs, run })
  }

  step(): void {
    const due = this.#due[0]
    if (due && due.atMs <= this.#nextFaultMs) {
      this.#due.shift()
      due.run()
      return
    }
    this.#nextFaultMs = this.#world.nowMs + 2 * this.#everyMs * this.#world.random.float()
    this.apply(this.#draw())
  }

  #draw(): Drawn {
    let left = this.#world.random.float() * this.#total
    for (let i = 0; i < KINDS.length; i++) {
      left -= this.#weights[i]!
      if (left < 0) return KINDS[i]!
    }
    return 'crash'
  }

  /** Nothing fails any more: ways are whole, and who is down comes back with the disk that it has. */
  end(): void {
    const world = this.#world
    world.faultsOn = false
    this.#nextFaultMs = Number.POSITIVE_INFINITY
    this.#due = []
    world.network.healAll()
    for (const datacenter of world.datacenters) if (!datacenter.canRaise) this.#recover(datacenter)
    for (const node of world.nodes) {
      node.stalledUntilMs = 0
      node.readsNothing = false
      node.isMute = false
      node.turnMs = world.turnMs
      if (node.life) world.network.setQuiet(node.index, undefined)
      else this.at(world.nowMs + 2000 * world.random.float(), () => node.start(world.nowMs))
    }
    if (world.trace.verbose) world.trace.say('no more faults')
  }

  /** What an operator does with a store that was restored: raises its generation, and starts its servers. */
  #recover(datacenter: SimDatacenter): void {
    datacenter.canRaise = true
    datacenter.raise(datacenter.store.epoch.generation + 10, this.#world.nowMs)
    for (const node of datacenter.nodes) if (node.life) this.#kill(node)
  }

  #for(minMs: number, maxMs: number, undo: () => void): void {
    this.at(this.#world.nowMs + minMs + (maxMs - minMs) * this.#world.random.float(), undo)
  }

  #two(): [SimDatacenter, SimDatacenter] {
    const { datacenters } = this.#world
    const a = this.#world.pick(datacenters)
    let b = this.#world.pick(datacenters)
    if (a === b) b = datacenters[(a.index + 1) % datacenters.length]!
    return [a, b]
  }

  apply(kind: Drawn): void {
    const { coverage, trace, nodes } = this.#world
    const [a, b] = this.#two()
    const node = this.#world.pick(nodes)
    coverage.hit(`fault: ${kind}`)
    if (trace.verbose) trace.say(`FAULT ${kind} (${a.name}, ${b.name}, ${node.name})`)
    this.#faults[kind](a, b, node)
  }

  /** What each kind does, to two DCs or a gateway. */
  readonly #faults: Readonly<Record<Drawn, (a: SimDatacenter, b: SimDatacenter, node: SimNode) => void>> = {
    'lossy-link': (a, b) => this.#spoil('loss', a, b, 0.2),
    'duplicating-link': (a, b) => this.#spoil('duplication', a, b, 0),
    'reordering-link': (a, b) => this.#spoil('reordering', a, b, 0),
    partition: (a, b) => this.#cut([...ways(a, b), ...ways(b, a)]),
    'partition-one-way': (a, b) => this.#cut(ways(a, b)),
    'isolate-datacenter': (a) => this.#isolate(a),
    'split-mesh': () => this.#split(),
    'partition-inside': (a) => this.#cut(ways(a, a)),
    'isolate-gateway': (_a, _b, node) => this.#cutWan(node, true, true),
    'isolate-gateway-one-way': (_a, _b, node) => {
      const out = this.#world.random.float() < 0.5
      this.#cutWan(node, out, !out)
    },
    crash: (_a, _b, node) => this.#crash(node),
    'crash-without-disk': (_a, _b, node) => {
      node.disk = { replicas: new Map(), peers: new Set() }
      this.#crash(node)
    },
    'crash-datacenter': (a) => this.#crashAll(a, () => {}),
    'store-lost': (a) =>
      this.#crashAll(a, () => {
        a.replaceStore(new SimStore(a.truth, a.newEpoch(0)))
      }),
    'store-rolled-back': (a) => this.#rollBack(a),
    'disk-rolled-back': (_a, _b, node) => this.#rollBackDisk(node),
    'clock-jump': (_a, _b, node) => {
      node.wallOffsetMs += (this.#world.random.float() - 0.5) * 2 * 3_600_000
      this.#crash(node)
    },
    stall: (_a, _b, node) => this.#stall(node, 200 + 6000 * this.#world.random.float() ** 2),
    'slow-node': (_a, _b, node) => this.#slow(node),
    leave: (_a, _b, node) => this.#leave(this.#world.random.float() < 0.5 ? [node] : node.datacenter.nodes),
    compact: (a) => a.store.compact(),
    'stream-break': (_a, _b, node) => this.#breakStreams(node),
    'empty-read': (_a, _b, node) => {
      node.readsNothing = true
      this.#for(500, 5000, () => {
        node.readsNothing = false
      })
    },
    'generation-raise': (a) => a.raise(a.store.epoch.generation + 1, this.#world.nowMs),
    'large-write': (a) =>
      void a.write(new Map([['e/large', this.#world.random.bytes(LARGE_BYTES)]]), this.#world.nowMs),
    flood: (a) => {
      for (let i = 0; i < 40; i++) a.write(new Map([[`e/f/${i % 3}`, this.#world.random.bytes(6)]]), this.#world.nowMs)
    },
    imposter: (a) => this.#imposter(a),
    replay: (a) => this.#replay(a),
    mute: (_a, _b, node) => this.#mute(node),
  }

  /** Of one direction, more than `least` of what gossip sends. */
  #spoil(what: 'loss' | 'duplication' | 'reordering', from: SimDatacenter, to: SimDatacenter, least: number): void {
    const { network, random } = this.#world
    const pair = from.index * network.datacenters + to.index
    network[what][pair] = least + (1 - least) * random.float()
    this.#for(1000, 10_000, () => {
      network[what][pair] = 0
    })
  }

  /** A DC is cut off, and what was heard of it is told again and again to some of those who heard it. */
  #replay(datacenter: SimDatacenter): void {
    const { nodes, random, nowMs } = this.#world
    this.#isolate(datacenter)
    const listeners = nodes.filter((node) => node.datacenter !== datacenter && random.float() < 0.5)
    for (let afterMs = 0; afterMs < REPLAYED_FOR_MS; afterMs += 400 * random.float())
      this.at(nowMs + afterMs, () => {
        for (const node of listeners) {
          const lately = node.life?.listening.lately(datacenter.index) ?? []
          if (lately.length === 0) continue
          const opened = this.#world.pick(lately)
          node.arrives({ kind: 'gossip', opened, relayTo: undefined, atMs: this.#world.nowMs })
        }
      })
  }

  /** It takes what it is asked and answers nothing, or stops in the middle of an answer; all else goes on. */
  #mute(node: SimNode): void {
    node.isMute = true
    this.#for(1000, 8000, () => {
      node.isMute = false
    })
  }

  #isolate(datacenter: SimDatacenter): void {
    const others = this.#world.datacenters.filter((other) => other !== datacenter)
    this.#cut(others.flatMap((other) => [...ways(datacenter, other), ...ways(other, datacenter)]))
  }

  #slow(node: SimNode): void {
    node.turnMs = this.#world.turnMs * (2 + 6 * this.#world.random.float())
    this.#for(2000, 10_000, () => {
      node.turnMs = this.#world.turnMs
    })
  }

  #cut(cuts: readonly Way[]): void {
    const { network, nowMs } = this.#world
    for (const { from, to } of cuts) network.cut(from.index, to.index, nowMs)
    this.#for(300, 9000, () => {
      for (const { from, to } of cuts) network.heal(from.index, to.index)
    })
  }

  #split(): void {
    const { datacenters, random } = this.#world
    const side = datacenters.map(() => random.float() < 0.5)
    const apart = (from: SimDatacenter): SimDatacenter[] =>
      datacenters.filter((to) => side[from.index] !== side[to.index])
    this.#cut(datacenters.flatMap((from) => apart(from).map((to) => ({ from, to }))))
  }

  #cutWan(node: SimNode, out: boolean, into: boolean): void {
    const { network, nowMs } = this.#world
    network.cutWan(node.index, out, into, nowMs)
    this.#for(500, 9000, () => network.healWan(node.index))
  }

  #crash(node: SimNode): void {
    if (!node.life) return
    node.olderDisk ??= copyOfDisk(node.disk)
    this.#kill(node)
    this.#for(50, 5000, () => {
      if (!node.life) node.start(this.#world.nowMs)
    })
  }

  /** Peers that its system still reaches see the connection reset; others wait until it was silent for long. */
  #kill(node: SimNode): void {
    const { network, nodes, nowMs } = this.#world
    for (const peer of nodes) {
      network.setConnected(node.index, peer.index, false)
      if (!network.isConnected(peer.index, node.index) || network.isBlocked(node.index, peer.index)) continue
      peer.arrives({ kind: 'disconnected', peer: node, atMs: nowMs + network.latencyMs(node.index, peer.index, true) })
    }
    node.kill()
  }

  #crashAll(datacenter: SimDatacenter, meanwhile: () => void): void {
    for (const node of datacenter.nodes) if (node.life) this.#kill(node)
    meanwhile()
    for (const node of datacenter.nodes)
      this.#for(50, 5000, () => {
        if (!node.life) node.start(this.#world.nowMs)
      })
  }

  /** To the last backup; when there is none yet, one is taken. */
  #rollBack(datacenter: SimDatacenter): void {
    const { backup, store, truth } = datacenter
    if (!backup) {
      datacenter.backup = store.backup()
      this.#for(500, 4000, () => this.#rollBack(datacenter))
      return
    }
    datacenter.backup = undefined
    this.#crashAll(datacenter, () => {
      datacenter.replaceStore(SimStore.restored(truth, backup))
    })
  }

  #rollBackDisk(node: SimNode): void {
    const older = node.olderDisk ?? copyOfDisk(node.disk)
    this.#crash(node)
    node.disk = copyOfDisk(older)
  }

  #stall(node: SimNode, ms: number): void {
    const { network, nowMs } = this.#world
    if (!node.life || network.isQuiet(node.index)) return
    node.stalledUntilMs = nowMs + ms
    network.setQuiet(node.index, nowMs)
    const { life } = node
    this.at(nowMs + ms, () => {
      if (node.life === life) network.setQuiet(node.index, undefined)
    })
  }

  #leave(nodes: readonly SimNode[]): void {
    for (const node of nodes) {
      if (!node.life) continue
      node.tell(node.life.publishing.seal(node.life.publishing.publisher.leave()), true)
      this.#kill(node)
      this.#for(500, 6000, () => {
        if (!node.life) node.start(this.#world.nowMs)
      })
    }
  }

  #breakStreams(node: SimNode): void {
    for (const { stream, busy } of node.life?.sessions() ?? [])
      if (busy || this.#world.random.float() < 0.3) stream.breaks(this.#world.nowMs)
  }

  /** A second DC under a name that is taken says so to some. */
  #imposter(datacenter: SimDatacenter): void {
    const { wire, nodes, random, nowMs } = this.#world
    const { name, store } = datacenter
    const datacenterId = 'id-imposter'
    const identity = { ...datacenter.nodes[0]!.identity, datacenterId, peerId: 'peer-imposter', node: IMPOSTER }
    const head = {
      datacenter: name,
      datacenterId,
      epoch: { generation: store.epoch.generation + 7, random: 'imposter00000000' },
      revision: store.revision + 100,
      lastExported: store.revision + 100,
      digest: new Uint8Array(32).fill(7),
      boot: 1,
      sequence: Math.floor(nowMs),
    }
    const opened = wire.seal(identity, {
      type: 'beacon',
      datacenter: name,
      datacenterId,
      head,
      addresses: ['/sim/x'],
      suspects: [],
    })
    // Where it comes first the name is its own: that is no fault of anybody's here.
    for (const node of nodes)
      if (random.float() < 0.5) node.arrives({ kind: 'gossip', opened, relayTo: undefined, atMs: nowMs + 50 })
  }
}
