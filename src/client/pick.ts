/** One of several instances, so that traffic is shared by their weights and by what room they have left. */
import type { HealthEntryJson } from './types.ts'

/** The fullest still gets a hundredth of its weight. */
const LEAST_ROOM = 0.01

/**
 * An instance of an answer of `health.service`, at random: as often as its weight says (`Weights`, for its state), times the room
 * that its `Load` leaves; who does not say how busy it is keeps all of its weight. As DNS answers are weighted. undefined when there is
 * none, or none with a weight. `random` gives numbers from 0 to below 1.
 */
export function pick<T extends Pick<HealthEntryJson, 'Service' | 'Checks'>>(
  entries: readonly T[],
  random: () => number = Math.random,
): T | undefined {
  const shares = entries.map(shareOf)
  let left = random() * shares.reduce((sum, share) => sum + share, 0)
  let last: T | undefined
  for (const [i, entry] of entries.entries()) {
    if (shares[i] === 0) continue
    last = entry
    left -= shares[i]!
    if (left < 0) break
  }
  return last
}

function shareOf({ Service, Checks }: Pick<HealthEntryJson, 'Service' | 'Checks'>): number {
  const { Weights = { Passing: 1, Warning: 1 }, Load = 0 } = Service
  const isWell = Checks.every(({ Status }) => Status === 'passing')
  return Math.max(0, isWell ? Weights.Passing : Weights.Warning) * Math.max(LEAST_ROOM, 1 - Load)
}
