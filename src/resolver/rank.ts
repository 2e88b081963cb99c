/** Orders by network distance and by load. By distance the node itself comes first, those without a coordinate last; equal distances keep their order. */
import type { CatalogView } from '../catalog/view.ts'
import { type Coordinate, coordinateDistanceMs } from '../model/coordinate.ts'
import type { Instance } from '../model/entries.ts'
import { keyPart } from '../model/keys.ts'

const coordinateOf = (view: CatalogView, node: string): Coordinate | undefined =>
  view.coordinatesOf(node)[0]?.coordinate

/** `items` by the distance of their nodes to the node `near`; unchanged when that is unknown or has no coordinate. */
export function byDistance<T>(
  view: CatalogView,
  near: string | undefined,
  items: readonly T[],
  nodeOf: (item: T) => string,
): readonly T[] {
  if (near === undefined || near === '' || items.length < 2) return items
  const origin = coordinateOf(view, near)
  if (origin === undefined) return items
  // A node is nearest to itself, whatever its height says.
  const distances = new Map<string, number>([[keyPart(near), 0]])
  const distance = (item: T): number => {
    const node = keyPart(nodeOf(item))
    let known = distances.get(node)
    if (known === undefined) {
      const coordinate = coordinateOf(view, node)
      known = coordinate === undefined ? Number.POSITIVE_INFINITY : coordinateDistanceMs(origin, coordinate)
      distances.set(node, known)
    }
    return known
  }
  // Infinity - Infinity is NaN: equal.
  return [...items].sort((a, b) => distance(a) - distance(b) || 0)
}

/** What an instance counts for that does not say how busy it is, in every order and filter: neither sought nor shunned. */
export const UNKNOWN_LOAD = 0.5

/** The least busy first; equals keep their order. */
export const byLoad = <T extends Pick<Instance, 'service'>>(items: readonly T[]): readonly T[] =>
  items.some(({ service }) => service.load !== undefined)
    ? [...items].sort((a, b) => (a.service.load ?? UNKNOWN_LOAD) - (b.service.load ?? UNKNOWN_LOAD))
    : items
