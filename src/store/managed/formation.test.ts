import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Hello, mayPromise, nextStep, type Promised } from './formation.ts'

const server = (peerId: string, more: Partial<Hello> = {}): Hello => ({
  peerId,
  name: `n-${peerId}`,
  host: '127.0.0.1',
  clientPort: 2379,
  peerPort: 2380,
  standing: 'empty',
  cluster: '',
  servers: 3,
  ...more,
})

describe('the next step of a server', () => {
  const [a, b, c] = ['a', 'b', 'c'].map((id) => server(id)) as [Hello, Hello, Hello]

  it('is to wait until as many as wanted are there', () => {
    expect(nextStep(a, undefined, [])).toEqual({ do: 'wait', present: 1, wanted: 3 })
    expect(nextStep(a, undefined, [b])).toEqual({ do: 'wait', present: 2, wanted: 3 })
  })

  it('is to propose for the smallest, and to wait for the others', () => {
    const step = nextStep(a, undefined, [c, b])
    expect(step).toMatchObject({ do: 'propose', members: [{ peerId: 'a' }, { peerId: 'b' }, { peerId: 'c' }] })
    expect(nextStep(b, undefined, [a, c]).do).toBe('wait')
  })

  it('is to propose as many as wanted, of more', () => {
    const step = nextStep(a, undefined, [server('e'), server('d'), c, b])
    expect(step).toMatchObject({ do: 'propose', members: [{ peerId: 'a' }, { peerId: 'b' }, { peerId: 'c' }] })
    expect(nextStep(server('d'), undefined, [a, b, c]).do).toBe('wait')
  })

  it('is to ask for admission where there is a cluster, however many are empty', () => {
    const member = server('d', { standing: 'member', cluster: 'x' })
    expect(nextStep(a, undefined, [b, c, member])).toEqual({ do: 'ask-admission', of: ['d'] })
  })

  it('is to ask what became of its promise, before all else', () => {
    const promised = { cluster: 'x', proposer: 'a' }
    const other = server('d', { standing: 'member', cluster: 'y' })
    const same = server('e', { standing: 'member', cluster: 'x' })
    const self = server('b', { standing: 'promised', cluster: 'x' })
    expect(nextStep(self, promised, [a, other, same])).toEqual({ do: 'ask-outcome', of: ['a', 'e'] })
  })

  it('is to say so where servers disagree on their number', () => {
    expect(nextStep(a, undefined, [b, server('z', { servers: 5 })])).toMatchObject({ do: 'disagree', servers: 5 })
  })
})

/** Servers that see whom they see, crash and forget what was not written down; messages that come late or never. */
class World {
  readonly disks = new Map<string, { promised?: Promised; member?: string }>()
  readonly open = new Map<string, { cluster: string; members: readonly string[]; given: Set<string> }>()
  readonly formed = new Map<string, readonly string[]>()
  #next = 0
  constructor(ids: readonly string[]) {
    for (const id of ids) this.disks.set(id, {})
  }

  hello(id: string): Hello {
    const { promised, member } = this.disks.get(id)!
    const standing = member ? 'member' : promised ? 'promised' : 'empty'
    return server(id, { standing, cluster: member ?? promised?.cluster ?? '' })
  }

  act(id: string, seen: readonly string[], reached: readonly string[]): void {
    const disk = this.disks.get(id)!
    if (disk.member || this.open.has(id)) return
    const others = seen.filter((other) => other !== id).map((other) => this.hello(other))
    const step = nextStep(this.hello(id), disk.promised, others)
    if (step.do === 'propose')
      this.propose(
        id,
        step.members.map(({ peerId }) => peerId),
        reached,
      )
    if (step.do === 'ask-outcome')
      this.askOutcome(
        id,
        step.of.filter((of) => reached.includes(of)),
      )
  }

  propose(id: string, members: readonly string[], reached: readonly string[]): void {
    const proposal = { cluster: `c${this.#next++}`, members, given: new Set<string>() }
    this.open.set(id, proposal)
    for (const member of members) {
      const { standing } = this.hello(member)
      const disk = this.disks.get(member)!
      if (!(member === id || reached.includes(member))) continue
      if (!mayPromise(standing, disk.promised, proposal.cluster)) continue
      if (member !== id && this.open.has(member)) continue
      disk.promised = { cluster: proposal.cluster, proposer: id }
      proposal.given.add(member)
    }
  }

  /** What was answered has come. */
  conclude(id: string): void {
    const proposal = this.open.get(id)
    if (!proposal) return
    this.open.delete(id)
    const disk = this.disks.get(id)!
    if (proposal.given.size === proposal.members.length) {
      this.formed.set(proposal.cluster, proposal.members)
      disk.member = proposal.cluster
    }
    delete disk.promised
  }

  askOutcome(id: string, of: readonly string[]): void {
    const disk = this.disks.get(id)!
    for (const other of of) {
      const { member } = this.disks.get(other)!
      if (member === disk.promised!.cluster) disk.member = member
      else if (other === disk.promised!.proposer && this.open.get(other)?.cluster !== disk.promised!.cluster) {
        delete disk.promised
      } else continue
      return
    }
  }

  crash(id: string): void {
    this.open.delete(id)
    const disk = this.disks.get(id)!
    // Its own promise is void with its proposal.
    if (disk.promised?.proposer === id) delete disk.promised
  }
}

describe('formation', () => {
  const ids = ['a', 'b', 'c', 'd', 'e']
  const some = fc.subarray(ids)
  const event = fc.record({ who: fc.constantFrom(...ids), what: fc.nat(9), seen: some, reached: some })

  it('never brings a server into two clusters, whoever sees whom, crashes, or loses messages', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 120 }), (events) => {
        const world = new World(ids)
        for (const { who, what, seen, reached } of events) {
          if (what === 0) world.crash(who)
          else if (what <= 3) world.conclude(who)
          else world.act(who, seen, reached)
        }
        const all = [...world.formed.values()].flat()
        expect(new Set(all).size).toBe(all.length)
        // Three of five: at most one.
        expect(world.formed.size).toBeLessThanOrEqual(1)
      }),
      { numRuns: 500 },
    )
  })

  it('comes to an end once all see each other', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        const world = new World(ids)
        for (const { who, what, seen, reached } of events) {
          if (what === 0) world.crash(who)
          else if (what <= 3) world.conclude(who)
          else world.act(who, seen, reached)
        }
        for (let round = 0; round < 4; round++) {
          for (const id of ids) world.conclude(id)
          for (const id of ids) {
            world.act(id, ids, ids)
            world.conclude(id)
          }
        }
        expect(world.formed.size).toBe(1)
        const [cluster, members] = [...world.formed][0]!
        for (const id of members) expect(world.disks.get(id)!.member).toBe(cluster)
      }),
      { numRuns: 200 },
    )
  })
})
