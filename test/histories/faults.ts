/** What is done to a datacenter while clients use it. Each resolves when it is over, with everything started and healed again. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../src/runtime/virtual.ts'
import type { EtcdMember } from '../support/etcd.ts'
import type { Datacenter } from './datacenter.ts'
import type { Agent } from './processes.ts'

export interface Fault {
  readonly name: string
  /** Which stores it is for; all unless given. */
  readonly store?: 'embedded' | 'etcd'
  /** How often it is chosen, in comparison; 1 unless given. */
  readonly weight?: number
  run(datacenter: Datacenter, random: SeededRandom): Promise<void>
}

export const pick = <T>(random: SeededRandom, from: readonly T[]): T => from[Math.floor(random.float() * from.length)]!
const between = (random: SeededRandom, low: number, high: number): number => low + random.float() * (high - low)

const servers = ({ agents }: Datacenter): Agent[] => agents.filter(({ isServer }) => isServer)
const clients = ({ agents }: Datacenter): Agent[] => agents.filter(({ isServer }) => !isServer)

async function killed(agent: Agent, forMs: number): Promise<void> {
  await agent.kill()
  await sleep(forMs)
  agent.start()
  await agent.ready()
}

async function stopped(what: { stop(): void; go(): void }, forMs: number): Promise<void> {
  what.stop()
  try {
    await sleep(forMs)
  } finally {
    what.go()
  }
}

const asStopped = (member: EtcdMember) => ({
  stop: () => member.signal('SIGSTOP'),
  go: () => member.signal('SIGCONT'),
})

async function leaderOf({ etcd }: Datacenter, random: SeededRandom): Promise<EtcdMember> {
  return (await etcd!.leader()) ?? pick(random, etcd!.members)
}

async function memberKilled(member: EtcdMember, forMs: number): Promise<void> {
  await member.kill()
  await sleep(forMs)
  await member.start()
}

export const FAULTS: readonly Fault[] = [
  {
    name: 'kill -9 of a server',
    weight: 3,
    run: (dc, random) => killed(pick(random, servers(dc)), between(random, 0, 800)),
  },
  // Above 2 s a client that waits for it sends its writes again; above 5 s it gives them up; above 10 s it leads no longer.
  {
    name: 'SIGSTOP of a server',
    weight: 3,
    run: (dc, random) => stopped(pick(random, servers(dc)), between(random, 100, 4_000)),
  },
  {
    name: 'SIGSTOP of a server for long',
    run: (dc, random) => stopped(pick(random, servers(dc)), between(random, 5_000, 12_000)),
  },
  { name: 'kill -9 of a client', run: (dc, random) => killed(pick(random, clients(dc)), between(random, 0, 500)) },
  { name: 'SIGSTOP of a client', run: (dc, random) => stopped(pick(random, clients(dc)), between(random, 100, 3_000)) },
  {
    name: "kill -9 of etcd's leader",
    store: 'etcd',
    weight: 2,
    run: async (dc, random) => memberKilled(await leaderOf(dc, random), between(random, 0, 1_500)),
  },
  {
    name: 'kill -9 of a member of etcd',
    store: 'etcd',
    run: (dc, random) => memberKilled(pick(random, dc.etcd!.members), between(random, 0, 1_500)),
  },
  {
    name: "SIGSTOP of etcd's leader",
    store: 'etcd',
    weight: 2,
    run: async (dc, random) => stopped(asStopped(await leaderOf(dc, random)), between(random, 500, 5_000)),
  },
  {
    name: 'SIGSTOP of a member of etcd',
    store: 'etcd',
    run: (dc, random) => stopped(asStopped(pick(random, dc.etcd!.members)), between(random, 500, 5_000)),
  },
  {
    name: 'no majority of etcd',
    store: 'etcd',
    run: async (dc, random) => {
      const two = [...dc.etcd!.members].sort(() => random.float() - 0.5).slice(0, 2)
      await Promise.all(two.map((member) => stopped(asStopped(member), between(random, 500, 4_000))))
    },
  },
  {
    name: 'a server cut off from etcd',
    store: 'etcd',
    weight: 2,
    run: async (dc, random) => {
      const links = dc.links.get(pick(random, servers(dc)))!
      await cut(links, between(random, 300, 6_000))
    },
  },
  {
    name: 'a server cut off from a member of etcd',
    store: 'etcd',
    weight: 2,
    run: async (dc, random) => {
      const links = dc.links.get(pick(random, servers(dc)))!
      await cut([pick(random, links)], between(random, 300, 4_000))
    },
  },
]

async function cut(links: readonly { cut(): void; heal(): void }[], forMs: number): Promise<void> {
  for (const link of links) link.cut()
  try {
    await sleep(forMs)
  } finally {
    for (const link of links) link.heal()
  }
}

export const faultsFor = (store: 'embedded' | 'etcd'): readonly Fault[] =>
  FAULTS.filter((fault) => fault.store === undefined || fault.store === store).flatMap((fault) =>
    new Array<Fault>(fault.weight ?? 1).fill(fault),
  )
