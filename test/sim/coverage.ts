/** What a run must have come by: every kind of fault, and every transition and effect of the state machines. */

export const FAULTS = [
  'lossy-link',
  'duplicating-link',
  'reordering-link',
  'partition',
  'partition-one-way',
  'isolate-datacenter',
  'split-mesh',
  'partition-inside',
  'isolate-gateway',
  'isolate-gateway-one-way',
  'crash',
  'crash-without-disk',
  'crash-datacenter',
  'store-lost',
  'store-rolled-back',
  'disk-rolled-back',
  'clock-jump',
  'stall',
  'slow-node',
  'leave',
  'compact',
  'stream-break',
  'empty-read',
  'generation-raise',
  'raise-fails',
  'large-write',
  'flood',
  'imposter',
  'replay',
  'mute',
] as const
export type FaultKind = (typeof FAULTS)[number]

export const TRANSITIONS = [
  'publisher: delta by gossip and tails',
  'publisher: delta by tails alone',
  'publisher: beacon',
  'publisher: heartbeat',
  'publisher: loaded anew',
  'publisher: history was compacted under it',
  'publisher: boot raised above a former life',
  'speaker: took over',
  'standing: raise',
  'standing: raise again after a failure',
  'standing: give up',
  'reception: own head',
  'reception: own echo',
  'reception: conflict',
  'reception: left',
  'reception: datacenter gone',
  'reception: heard fresh',
  'reception: heard stale',
  'reception: heartbeat fresh',
  'reception: heartbeat of nothing known',
  'reception: outdated life',
  'reception: suspected itself',
  'reception: new datacenter',
  'reception: passed on by a relay',
  'reception: not passed on',
  'hello: absorbed',
  'hello: proof of the own datacenter',
  'replica: apply',
  'replica: install',
  'replica: merge',
  'replica: repair',
  'replica: held a delta while busy',
  'replica: ask',
  'replica: abandon',
  'replica: rejected',
  'replica: held a delta',
  'replica: begins empty',
  'replica: newer epoch',
  'replica: restored from disk',
  'replica: quarantined',
  'replica: stream lost in a transfer',
  'ask: since',
  'ask: repair',
  'ask: snapshot',
  'ask: snapshot resumed',
  'ask: third party',
  'ask: beside the tail',
  'answer: changes',
  'answer: history is gone',
  'answer: buckets',
  'answer: snapshot',
  'answer: snapshot resumed',
  'answer: refuse',
  'answer: none, being mute',
  'answer: stopped in the middle',
  'answer: third party buckets',
  'answer: third party snapshot',
  'answer: third party refuse',
  'transfer: changes committed',
  'transfer: buckets committed',
  'transfer: snapshot committed',
  'directory: suspected',
  'directory: lost',
  'directory: back',
  'breaker: opened',
  'breaker: refused a call',
  'breaker: probe',
  'breaker: closed',
  'wire: really encoded and decoded',
] as const
export type Transition = (typeof TRANSITIONS)[number]

/** `fault: ...` for faults. */
export type Covered = Transition | `fault: ${FaultKind}`

export const ALL: readonly Covered[] = [...FAULTS.map((kind): Covered => `fault: ${kind}`), ...TRANSITIONS]

export class Coverage {
  readonly counts: Record<string, number> = Object.fromEntries(ALL.map((name) => [name, 0]))

  hit(name: Covered): void {
    this.counts[name]!++
  }
  /** As another process counted. */
  add(other: Readonly<Record<string, number>>): void {
    for (const [name, count] of Object.entries(other)) this.counts[name] = (this.counts[name] ?? 0) + count
  }
  /** Names that never occurred. */
  missing(): string[] {
    return ALL.filter((name) => this.counts[name] === 0)
  }
  table(): string {
    const width = Math.max(...ALL.map((name) => name.length))
    return ALL.map((name) => `${name.padEnd(width)} ${String(this.counts[name]).padStart(12)}`).join('\n')
  }
}
