/** Does at once what a replica asks for in steps. */
import type { Replica, ReplicaEffect } from '../protocol/replica.ts'

/** All effects up to where nothing is left to do, in order; each is told before what follows from it. */
export function settle(
  replica: Replica,
  effects: readonly ReplicaEffect[],
  nowMs: number,
  onEffect: (effect: ReplicaEffect) => void = () => {},
): ReplicaEffect[] {
  const all: ReplicaEffect[] = []
  for (const effect of effects) {
    onEffect(effect)
    all.push(effect)
    if (effect.type === 'install') all.push(...settle(replica, replica.installed(nowMs), nowMs, onEffect))
    if (effect.type !== 'merge') continue
    while (replica.merging) all.push(...settle(replica, replica.step(nowMs), nowMs, onEffect))
  }
  return all
}
