/**
 * Where lookups may go: the other DCs as they stand now, their distances, and which of two is nearer. Sampled once a
 * second, so that routing changes by samples and not by single packets.
 */
import type { CatalogView } from '../catalog/view.ts'
import type { RemoteDatacenter, Way } from '../federation/federation.ts'
import type { Clock } from '../runtime/ports.ts'

/** Another DC may take over from the one in use when it is nearer by both, in so many samples in a row. */
export const NEARER_RATIO = 0.8
export const NEARER_MS = 10
export const NEARER_SAMPLES = 3

/** What goes to instances goes directly: a DC that only calls reach, through a relay, is no place to send traffic first. */
export const WAY_RANK: Readonly<Record<Way['kind'], number>> = { direct: 0, relayed: 1, none: 2 }

export interface RemoteView {
  readonly view: CatalogView
  readonly remote: RemoteDatacenter
}

export interface RoutesOptions {
  readonly clock: Clock
  readonly remotes: () => readonly RemoteDatacenter[]
  readonly view: (datacenter: string) => CatalogView | undefined
  readonly samplePeriodMs?: number
}

export class Routes {
  /** Changes whenever a choice among DCs may come out otherwise. */
  version = 1
  readonly #options: RoutesOptions
  readonly #samples = new Map<string, number[]>()
  readonly #waiters = new Set<() => void>()
  readonly #timer: { cancel(): void }
  #signature = ''

  constructor(options: RoutesOptions) {
    this.#options = options
    this.#timer = options.clock.every(options.samplePeriodMs ?? 1000, () => this.#sample())
    this.refresh()
  }

  /** Looks again at states and reachability now; called when the federation says that something changed. */
  refresh(): void {
    const signature = this.#describe()
    if (signature === this.#signature) return
    this.#signature = signature
    this.version++
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const wake of waiters) wake()
  }

  onceChanged(fn: () => void): () => void {
    this.#waiters.add(fn)
    return () => this.#waiters.delete(fn)
  }

  /** DCs that hold a replica here, nearest first: reached directly, then through a relay, then not; measured before unmeasured. */
  ordered(): RemoteView[] {
    const views: RemoteView[] = []
    for (const remote of this.#options.remotes()) {
      const view = this.#options.view(remote.datacenter)
      if (view !== undefined && remote.loaded) views.push({ view, remote })
    }
    return views.sort((a, b) => this.#compare(a.remote, b.remote))
  }

  /** Latest sample, or what the federation says now. */
  distanceMs(remote: RemoteDatacenter): number | undefined {
    return this.#samples.get(remote.datacenter)?.at(-1) ?? remote.roundTripMs()
  }

  /** Whether `b` has been so much nearer than `a` for long enough that traffic should move. */
  isClearlyNearer(b: string, than: string): boolean {
    const near = this.#samples.get(b)
    const far = this.#samples.get(than)
    if (near === undefined || far === undefined) return false
    if (near.length < NEARER_SAMPLES || far.length < NEARER_SAMPLES) return false
    return near.every((ms, i) => ms <= far[i]! * NEARER_RATIO && far[i]! - ms >= NEARER_MS)
  }

  close(): void {
    this.#timer.cancel()
    this.#waiters.clear()
  }

  #sample(): void {
    const known = new Set<string>()
    for (const remote of this.#options.remotes()) {
      known.add(remote.datacenter)
      const ms = remote.roundTripMs()
      if (ms === undefined) continue
      const samples = this.#samples.get(remote.datacenter) ?? []
      samples.push(ms)
      if (samples.length > NEARER_SAMPLES) samples.shift()
      this.#samples.set(remote.datacenter, samples)
    }
    for (const datacenter of this.#samples.keys()) if (!known.has(datacenter)) this.#samples.delete(datacenter)
    this.refresh()
  }

  #compare(a: RemoteDatacenter, b: RemoteDatacenter): number {
    const way = WAY_RANK[a.way().kind] - WAY_RANK[b.way().kind]
    if (way !== 0) return way
    const x = this.distanceMs(a) ?? Number.MAX_VALUE
    const y = this.distanceMs(b) ?? Number.MAX_VALUE
    return x - y || (a.datacenter < b.datacenter ? -1 : 1)
  }

  /** All that a choice depends on, as one string: order, state, and who is clearly nearer than whom. */
  #describe(): string {
    const ordered = this.ordered()
    const names = ordered.map(
      ({ remote }) => `${remote.datacenter}${remote.fit ? '+' : '-'}${WAY_RANK[remote.way().kind]}`,
    )
    const nearer = ordered.flatMap(({ remote: a }) =>
      ordered
        .filter(({ remote: b }) => this.isClearlyNearer(b.datacenter, a.datacenter))
        .map(({ remote: b }) => `${b.datacenter}<${a.datacenter}`),
    )
    const known = this.#options.remotes().map((remote) => remote.datacenter)
    return `${known.join(',')};${names.join(',')};${nearer.join(',')}`
  }
}
