/** The emulated WAN as data: one link for each pair of datacenters, which the launcher changes and every node is told. */
import { LauncherError } from './errors.ts'
import type { Topology } from './schema.ts'

export interface LinkState {
  readonly rttMs: number
  /** Bytes are silently dropped, both ways. */
  readonly cut: boolean
  /** Each way, of each connection over it; without it there is no limit. */
  readonly bandwidthMbps?: number
}

export interface LinkRow extends LinkState {
  readonly between: readonly [string, string]
}

const MAX_RTT_MS = 10_000

export class LinkTable {
  readonly #datacenters: string[]
  readonly #rows = new Map<string, LinkRow>()

  constructor(topology: Pick<Topology, 'datacenters' | 'links'>) {
    this.#datacenters = topology.datacenters.map((dc) => dc.name)
    for (const link of topology.links) {
      this.#rows.set(keyOf(...link.between), { ...link, cut: false })
    }
  }

  rows(): readonly LinkRow[] {
    return [...this.#rows.values()]
  }

  /** Throws LauncherError for a name that is not there, or the same one twice. */
  between(a: string, b: string): LinkRow {
    this.#known(a)
    this.#known(b)
    const row = this.#rows.get(keyOf(a, b))
    if (row === undefined) throw new LauncherError(`"${a}" twice: a link joins two datacenters`)
    return row
  }

  /** The link of a pair, or with one name all links of that datacenter. */
  select(a: string, b?: string): readonly LinkRow[] {
    if (b !== undefined) return [this.between(a, b)]
    this.#known(a)
    return this.rows().filter((row) => row.between.includes(a))
  }

  change(row: LinkRow, patch: Partial<LinkState>): LinkRow {
    const rttMs = patch.rttMs ?? row.rttMs
    if (!(rttMs >= 0 && rttMs <= MAX_RTT_MS)) {
      throw new LauncherError(`a round trip takes 0 to ${MAX_RTT_MS} ms; ${rttMs} is none`)
    }
    const changed = { ...row, ...patch }
    this.#rows.set(keyOf(...row.between), changed)
    return changed
  }

  /** A datacenter that joins at run time, at these distances (those not named are 0). */
  add(datacenter: string, rttMs: Readonly<Record<string, number>>): void {
    for (const other of this.#datacenters) {
      this.#rows.set(keyOf(datacenter, other), {
        between: [other, datacenter],
        rttMs: rttMs[other] ?? 0,
        cut: false,
      })
    }
    this.#datacenters.push(datacenter)
  }

  #known(name: string): void {
    if (this.#datacenters.includes(name)) return
    throw new LauncherError(`no datacenter "${name}" in this mesh; there are ${this.#datacenters.join(', ')}`)
  }
}

const keyOf = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`)

export interface LinkView {
  readonly datacenter: string
  /** Datacenter by libp2p port. */
  readonly ports: Readonly<Record<string, string>>
  readonly links: readonly LinkRow[]
}

const DIRECT: LinkState = { rttMs: 0, cut: false }

/**
 * What one node asks for each connection that it dials: the link by the remote's TCP port. Its own datacenter and ports
 * that nobody named are near and never cut.
 */
export class DialledLinks {
  #byPort = new Map<string, LinkState>()

  constructor(view: LinkView) {
    this.update(view)
  }

  update(view: LinkView): void {
    const byDatacenter = new Map(
      view.links
        .filter((row) => row.between.includes(view.datacenter))
        .map((row) => [row.between[0] === view.datacenter ? row.between[1] : row.between[0], row] as const),
    )
    this.#byPort = new Map(
      Object.entries(view.ports).flatMap(([port, datacenter]) => {
        const row = byDatacenter.get(datacenter)
        if (row === undefined) return []
        const { between: _, ...state } = row
        return [[port, state] as const]
      }),
    )
  }

  /** `multiaddr`: of the other side, like `/ip4/127.0.0.1/tcp/8320`. */
  readonly to = (multiaddr: string): LinkState => {
    const start = multiaddr.indexOf('/tcp/')
    if (start < 0) return DIRECT
    const end = multiaddr.indexOf('/', start + 5)
    return this.#byPort.get(multiaddr.slice(start + 5, end < 0 ? undefined : end)) ?? DIRECT
  }
}
