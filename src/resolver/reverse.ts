/** Who has an address: an index over one DC's nodes and instances, made when it is asked for. */
import type { CatalogView } from '../catalog/view.ts'
import { canonicalAddress } from '../model/addresses.ts'

export interface Holder {
  readonly node?: string
  readonly service?: string
}

interface Index {
  readonly holders: ReadonlyMap<string, Holder>
  readonly versions: string
  readonly madeAtMs: number
}

/** However fast the catalog changes, and whatever is asked for, it is read this often at most. */
export const REMADE_AFTER_MS = 1_000

const indexes = new WeakMap<CatalogView, Index>()

/** A node's own address goes before an instance's. */
export function whoHas(view: CatalogView, address: string, nowMs: number): Holder | undefined {
  const versions = `${view.topic({ kind: 'nodes' }).version} ${view.topic({ kind: 'services' }).version}`
  let index = indexes.get(view)
  if (index === undefined || (index.versions !== versions && nowMs - index.madeAtMs >= REMADE_AFTER_MS)) {
    index = { holders: readHolders(view), versions, madeAtMs: nowMs }
    indexes.set(view, index)
  }
  return index.holders.get(address)
}

function readHolders(view: CatalogView): Map<string, Holder> {
  const holders = new Map<string, Holder>()
  const add = (address: string, holder: Holder): void => {
    const canonical = address === '' ? undefined : canonicalAddress(address)
    if (canonical !== undefined && !holders.has(canonical)) holders.set(canonical, holder)
  }
  for (const node of view.nodes()) add(node.address, { node: node.node })
  for (const node of view.nodes()) {
    for (const service of view.servicesOf(node.node)) add(service.address, { service: service.service })
  }
  return holders
}
