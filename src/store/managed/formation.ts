/**
 * How the servers of a datacenter come to exactly one etcd cluster of their own. Pure: from what a server has written down, and what
 * the others say of themselves, to what it does next.
 *
 * A first membership needs the promise of all whom it names, as in two-phase commit: each server gives at most one, and writes it down
 * before it answers. So no server is in two clusters, and no two clusters can have a server in common. A promise ends when the
 * proposer says that its proposal is void.
 */

/** Who would run, or runs, a member. */
export interface Candidate {
  readonly peerId: string
  /** The member's name: that of the node. */
  readonly name: string
  /** Address or host name under which the others reach it. */
  readonly host: string
  readonly clientPort: number
  readonly peerPort: number
}

/** What a server says of itself. */
export interface Hello extends Candidate {
  readonly standing: 'empty' | 'promised' | 'member'
  /** Of the cluster that it promised to join or is in; '' for none. */
  readonly cluster: string
  /** How many members its operator wants. */
  readonly servers: number
}

export interface Promised {
  readonly cluster: string
  readonly proposer: string
}

export type Step =
  /** For more servers; `wanted` says for how many in all. */
  | { readonly do: 'wait'; readonly present: number; readonly wanted: number }
  | { readonly do: 'propose'; readonly members: readonly Candidate[] }
  /** What became of the proposal; of any of these. */
  | { readonly do: 'ask-outcome'; readonly of: readonly string[] }
  /** To be taken into the cluster that is there; by any of these. */
  | { readonly do: 'ask-admission'; readonly of: readonly string[] }
  /** Servers disagree on how many there are to be. */
  | { readonly do: 'disagree'; readonly with: string; readonly servers: number }

/** `promised`: what this server wrote down; undefined for nothing. `others`: those of this datacenter that answer now. */
export function nextStep(self: Hello, promised: Promised | undefined, others: readonly Hello[]): Step {
  if (promised) {
    const knowing = others.filter(({ standing, cluster }) => standing === 'member' && cluster === promised.cluster)
    return { do: 'ask-outcome', of: [promised.proposer, ...knowing.map(({ peerId }) => peerId)] }
  }
  const members = others.filter(({ standing }) => standing === 'member')
  if (members.length > 0) return { do: 'ask-admission', of: members.map(({ peerId }) => peerId).sort() }
  const other = others.find(({ servers }) => servers !== self.servers)
  if (other) return { do: 'disagree', with: other.name, servers: other.servers }
  const empty = [self, ...others.filter(({ standing }) => standing === 'empty')].sort(byPeerId)
  const chosen = empty.slice(0, self.servers)
  const complete = chosen.length === self.servers
  if (complete && chosen[0] === self) return { do: 'propose', members: chosen.map(candidateOf) }
  return { do: 'wait', present: others.length + 1, wanted: self.servers }
}

const byPeerId = (a: Candidate, b: Candidate): number => (a.peerId < b.peerId ? -1 : a.peerId > b.peerId ? 1 : 0)

const candidateOf = ({ peerId, name, host, clientPort, peerPort }: Candidate): Candidate => ({
  peerId,
  name,
  host,
  clientPort,
  peerPort,
})

/** Whether a server may promise `cluster`: it has nothing, or promised that very one before. */
export const mayPromise = (standing: Hello['standing'], promised: Promised | undefined, cluster: string): boolean =>
  standing === 'empty' || (standing === 'promised' && promised?.cluster === cluster)
