/** A datacenter to put under load and faults: on the embedded store a server and two clients, on etcd three servers and a client. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CutProxy, startCutProxy } from '../support/cut-proxy.ts'
import { type EtcdCluster, startEtcd } from '../support/etcd.ts'
import { Agent } from './processes.ts'

export type StoreKind = 'embedded' | 'etcd'

export interface Datacenter {
  readonly store: StoreKind
  readonly folder: string
  readonly agents: readonly Agent[]
  /** Undefined on the embedded store. */
  readonly etcd: EtcdCluster | undefined
  /** By server: its ways to the members, in their order. */
  readonly links: ReadonlyMap<Agent, readonly CutProxy[]>
  end(): Promise<void>
}

/** Resolves when every node takes writes. `sources`: the folder with the `src` that runs. */
export async function startDatacenter(store: StoreKind, sources: string): Promise<Datacenter> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-histories-'))
  const etcd = store === 'etcd' ? await startEtcd(3) : undefined
  const agents: Agent[] = []
  const links = new Map<Agent, readonly CutProxy[]>()
  const end = async (): Promise<void> => {
    await Promise.all(agents.map((agent) => agent.kill()))
    await Promise.all([...links.values()].flat().map((link) => link.close()))
    await etcd?.destroy()
    await rm(folder, { recursive: true, force: true })
  }
  const add = async (name: string, url: string | undefined, ways: readonly CutProxy[] = []): Promise<void> => {
    const join = agents.filter(({ isServer }) => isServer).map(({ libp2pPort }) => libp2pPort)
    const agent = await Agent.create({ sources, name, folder, store: url, join })
    agents.push(agent)
    if (ways.length > 0) links.set(agent, ways)
    agent.start()
    await agent.ready()
  }
  try {
    if (etcd) {
      for (const name of ['s1', 's2', 's3']) {
        const ways = await Promise.all(etcd.addresses.map((address) => startCutProxy(Number(address.split(':')[1]))))
        await add(name, `etcd://${ways.map(({ port }) => `127.0.0.1:${port}`).join()}`, ways)
      }
      await add('c1', undefined)
    } else {
      await add('s1', 'embedded')
      await add('c1', undefined)
      await add('c2', undefined)
    }
  } catch (error) {
    await end()
    throw error
  }
  return { store, folder, agents, etcd, links, end }
}
