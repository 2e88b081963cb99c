/**
 * Which DC answers a lookup of healthy instances: the own one while anything passes here, otherwise the nearest other
 * one that is well. Judged on loaded tables only, after service and tags; every candidate keeps the reason.
 */
import type { CatalogView, Topic } from '../catalog/view.ts'
import type { Way } from '../federation/federation.ts'
import type { Instance, ServiceAddress } from '../model/entries.ts'
import { tagMatcher } from './read.ts'
import { type RemoteView, type Routes, WAY_RANK } from './routes.ts'

export interface ChooserOptions {
  readonly own: CatalogView
  readonly routes: Routes
  /** Whether plain lookups may leave the DC at all. */
  readonly failover: boolean
  /** Every address of every DC can be reached from every other: instances need no `wan` address. */
  readonly flatNetwork: boolean
}

export interface Candidate {
  readonly datacenter: string
  /** undefined for the own DC. */
  readonly remote: RemoteView | undefined
  readonly instances: readonly Instance[]
  readonly passing: number
  /** Passing, and with an address that can be used from here. */
  readonly usable: readonly Instance[]
  readonly eligible: boolean
  readonly reason: string
}

export interface Choice {
  /** undefined: the own DC answers, with what it has. */
  readonly to: Candidate | undefined
  /** What the choice was judged on. */
  readonly topics: readonly Topic[]
  /** Whether it was judged on other DCs too (and so on `routes.version`). */
  readonly routed: boolean
  readonly candidates: readonly Candidate[]
}

/**
 * The address at which an instance of another DC is used from here; undefined when it may not be. An agent's node says
 * its own address for `wan` when nobody gave it one, as Consul's do: that promises nothing.
 */
export function addressFromAfar(instance: Instance, flatNetwork: boolean): ServiceAddress | undefined {
  const { service, node } = instance
  const wan = service.taggedAddresses?.wan
  if (wan?.address) return { address: wan.address, port: wan.port || service.port }
  if (flatNetwork) return { address: service.address || node.address, port: service.port }
  const nodeWan = service.address === '' ? node.taggedAddresses?.wan : undefined
  if (!nodeWan || (node.owner === 'agent' && nodeWan === node.address)) return undefined
  return { address: nodeWan, port: service.port }
}

/** Lookups of which it is remembered where they go; the oldest are forgotten, and choose anew. */
const MAX_CURRENT = 10_000

/** The same for lookups that select the same. */
const lookupKey = (service: string, tags: readonly string[]): string =>
  [service, ...new Set(tags.map((tag) => tag.toLowerCase()).sort())].join('\0').toLowerCase()

export class Chooser {
  readonly #options: ChooserOptions
  /** The remote DC that answers a lookup now, so that it stays until another is clearly nearer. */
  readonly #current = new Map<string, string>()

  constructor(options: ChooserOptions) {
    this.#options = options
  }

  /** `nearest`: the question names it, so that no switch of mesh or service keeps the answer at home. */
  choose(service: string, tags: readonly string[], nearest: boolean): Choice {
    const { own } = this.#options
    const topics = [own.topic({ kind: 'service', service })]
    const home = this.#assessOwn(service, tags)
    const held = own.failover(service) !== undefined
    const stays = home.passing > 0 && !held
    const lookup = lookupKey(service, tags)
    if (stays || !(nearest || this.#mayLeave(service))) {
      // What `nearest` uses meanwhile is not for a lookup to forget that may not leave.
      if (stays) this.#current.delete(lookup)
      return { to: undefined, topics, routed: false, candidates: [home] }
    }
    const others = this.#assessOthers(service, tags, topics)
    const best = this.#pick(this.#current.get(lookup), others)
    this.#remember(lookup, best?.datacenter)
    return { to: best, topics, routed: true, candidates: [home, ...others] }
  }

  #remember(lookup: string, datacenter: string | undefined): void {
    this.#current.delete(lookup)
    if (datacenter === undefined) return
    this.#current.set(lookup, datacenter)
    if (this.#current.size > MAX_CURRENT) this.#current.delete(this.#current.keys().next().value!)
  }

  /** Every DC that has the service, nearest first, own first: for explanations. */
  assess(service: string): readonly Candidate[] {
    return [this.#assessOwn(service, []), ...this.#assessOthers(service, [], [])]
  }

  #mayLeave(service: string): boolean {
    if (!this.#options.failover) return false
    return !this.#options.own.instances(service).some((instance) => instance.service.failover === false)
  }

  #assessOwn(service: string, tags: readonly string[]): Candidate {
    const { own } = this.#options
    const instances = own.instances(service).filter(tagMatcher(tags))
    const usable = instances.filter((instance) => instance.status === 'passing')
    const held = own.failover(service) !== undefined
    const reason =
      instances.length === 0
        ? 'not registered here'
        : usable.length === 0
          ? 'no instance passes'
          : held
            ? 'passing again; lookups return after ten steady seconds'
            : 'own datacenter, with passing instances'
    return {
      datacenter: own.datacenter,
      remote: undefined,
      instances,
      passing: usable.length,
      usable,
      eligible: usable.length > 0 && !held,
      reason,
    }
  }

  #assessOthers(service: string, tags: readonly string[], topics: Topic[]): Candidate[] {
    const hasTags = tagMatcher(tags)
    return this.#options.routes.ordered().map((remote) => {
      topics.push(remote.view.topic({ kind: 'service', service }))
      return this.#assessRemote(remote, service, hasTags)
    })
  }

  #assessRemote(remote: RemoteView, service: string, hasTags: (instance: Instance) => boolean): Candidate {
    const { flatNetwork } = this.#options
    const instances = remote.view.instances(service).filter(hasTags)
    const passing = instances.filter((instance) => instance.status === 'passing')
    const usable = passing.filter((instance) => addressFromAfar(instance, flatNetwork) !== undefined)
    const found = { datacenter: remote.view.datacenter, remote, instances, passing: passing.length, usable }
    const refused = (reason: string): Candidate => ({ ...found, eligible: false, reason })
    if (remote.remote.state === 'quarantined') return refused('quarantined: two stores claim this datacenter')
    if (!remote.remote.fit) return refused('lost: no sign of life')
    if (instances.length === 0) return refused('not registered there')
    if (passing.length === 0) return refused('no instance passes')
    if (usable.length === 0) return refused('no instance has a wan address, and the network is not declared flat')
    const notes = [
      ...wayNotes(remote.remote.way()),
      ...(passing.length * 2 < instances.length ? ['less than half is well'] : []),
    ]
    return { ...found, eligible: true, reason: notes.join(', ') || 'passing instances' }
  }

  /** The nearest that is well and can be reached directly; the one in use stays unless another is clearly nearer. */
  #pick(inUse: string | undefined, others: readonly Candidate[]): Candidate | undefined {
    const eligible = others.filter((candidate) => candidate.eligible)
    const tier = (candidate: Candidate): number =>
      2 * WAY_RANK[candidate.remote?.remote.way().kind ?? 'none'] +
      (candidate.passing * 2 < candidate.instances.length ? 1 : 0)
    const lowest = Math.min(...eligible.map(tier))
    const pool = eligible.filter((candidate) => tier(candidate) === lowest)
    const current = pool.find((candidate) => candidate.datacenter === inUse)
    if (current === undefined) return pool[0]
    return pool.find((other) => this.#options.routes.isClearlyNearer(other.datacenter, current.datacenter)) ?? current
  }
}

function wayNotes(way: Way): string[] {
  if (way.kind === 'direct') return []
  return [way.kind === 'relayed' ? `reached through ${way.via.datacenter} only` : 'cannot be reached from here']
}
