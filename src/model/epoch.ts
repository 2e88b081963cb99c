/**
 * The identity of one store's life. The generation rises when a store is restored or recreated; the random part tells
 * apart two lives that claim the same generation.
 */
export interface Epoch {
  readonly generation: number
  /** 16 hex digits. */
  readonly random: string
}

/** Revisions below this fit into one generation: 2^40. */
export const REVISIONS_PER_GENERATION = 2 ** 40

/** What the API calls the index: it never goes back, also not when a store is restored. At least 1. */
export const toIndex = (epoch: Epoch, revision: number): number =>
  Math.max(1, epoch.generation * REVISIONS_PER_GENERATION + revision)

export type EpochOrder = 'same' | 'newer' | 'older' | 'conflict'

/** How `a` stands to `b`; equal generations with another random part are two stores that both claim to be the DC. */
export function compareEpoch(a: Epoch, b: Epoch): EpochOrder {
  if (a.generation !== b.generation) return a.generation > b.generation ? 'newer' : 'older'
  return a.random === b.random ? 'same' : 'conflict'
}
