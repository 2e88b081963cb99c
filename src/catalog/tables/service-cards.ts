import { compareKeys, keyPart } from '../../model/keys.ts'
import { decodeService } from '../codec.ts'
import type { ServiceSummary } from '../view.ts'
import { peekService } from './peek.ts'

interface Card {
  /** As it was spelled first. */
  readonly name: string
  /** Nodes (parts of keys) with the number of instances on each. */
  readonly nodes: Map<string, number>
  readonly tags: Map<string, number>
}

/** Which services there are, where, and with which tags: what is known of instances that nobody decoded yet. */
export class ServiceCards {
  readonly #cards = new Map<string, Card>()
  #summaries: readonly ServiceSummary[] | undefined

  add(node: string, value: Uint8Array): void {
    const { service, tags } = named(value)
    const part = keyPart(service)
    let card = this.#cards.get(part)
    if (!card) {
      card = { name: service, nodes: new Map(), tags: new Map() }
      this.#cards.set(part, card)
    }
    count(card.nodes, node, 1)
    for (const tag of tags) count(card.tags, tag, 1)
    this.#summaries = undefined
  }

  remove(node: string, value: Uint8Array): void {
    const { service, tags } = named(value)
    const part = keyPart(service)
    const card = this.#cards.get(part)
    if (!card) return
    count(card.nodes, node, -1)
    for (const tag of tags) count(card.tags, tag, -1)
    if (card.nodes.size === 0) this.#cards.delete(part)
    this.#summaries = undefined
  }

  parts(): Iterable<string> {
    return this.#cards.keys()
  }
  has(part: string): boolean {
    return this.#cards.has(part)
  }

  /** Nodes with instances of the service. */
  nodesOf(part: string): Iterable<string> {
    return this.#cards.get(part)?.nodes.keys() ?? []
  }

  /** In the order of their keys; the same list until something changes. */
  summaries(): readonly ServiceSummary[] {
    this.#summaries ??= [...this.#cards]
      .sort(([a], [b]) => compareKeys(a, b))
      .map(([, { name, tags }]) => ({ service: name, tags: [...tags.keys()] }))
    return this.#summaries
  }
}

/** The part of a key that the service of this value has. */
export const servicePartOf = (value: Uint8Array): string => keyPart(named(value).service)

const named = (value: Uint8Array): { readonly service: string; readonly tags: readonly string[] } =>
  peekService(value) ?? decodeService(value, 0, 0)

function count(counts: Map<string, number>, name: string, change: number): void {
  const after = (counts.get(name) ?? 0) + change
  if (after > 0) counts.set(name, after)
  else counts.delete(name)
}
