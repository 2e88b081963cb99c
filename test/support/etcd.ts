/** Members of etcd as processes of their own, for tests and measurements: found on the PATH, started, stopped, killed. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { freePorts } from '../../topology/free-ports.ts'

/** Whether etcd and etcdctl are on the PATH. */
export function findEtcd(): boolean {
  const runs = (program: string, arg: string): boolean => spawnSync(program, [arg], { stdio: 'ignore' }).status === 0
  return runs('etcd', '--version') && runs('etcdctl', 'version')
}

export const WITHOUT_ETCD = 'skipped: etcd is not on the PATH; get it with: apt-get install etcd-server etcd-client'

export interface MemberOptions {
  /** Beyond what every member has. */
  readonly flags?: readonly string[]
  /** Scheme of the clients' side, with its certificates in `flags`. */
  readonly clientScheme?: 'http' | 'https'
}

export interface EtcdMember {
  readonly name: string
  /** Where clients reach it, as host:port. */
  readonly address: string
  readonly directory: string
  /** Whether it leads the cluster, as far as it knows. */
  leads(): Promise<boolean>
  /** Resolves once it answers, so that a majority has to be there or to come. */
  start(): Promise<void>
  signal(signal: NodeJS.Signals): void
  /** Ends it at once, as by a power cut; its data stays. */
  kill(): Promise<void>
}

export interface EtcdCluster {
  readonly members: readonly EtcdMember[]
  readonly addresses: readonly string[]
  /** Undefined while there is none. */
  leader(): Promise<EtcdMember | undefined>
  /** Ends all members and removes what they held. */
  destroy(): Promise<void>
}

/** Starts a cluster of so many members on this machine; resolves when it takes writes. */
export async function startEtcd(count = 1, options: MemberOptions = {}): Promise<EtcdCluster> {
  const root = await mkdtemp(join(tmpdir(), 'atoll-etcd-'))
  const ports = await freePorts(count * 3)
  const peers = Array.from({ length: count }, (_, i) => `m${i + 1}=http://127.0.0.1:${ports[count + i]}`)
  const members = peers.map((peer, i) => {
    const mine = { client: ports[i]!, status: ports[2 * count + i]! }
    return memberOf(join(root, `m${i + 1}`), peer, mine, peers.join(), options)
  })
  const stopAll = async (): Promise<void> => {
    await Promise.all(members.map((member) => member.kill()))
    await rm(root, { recursive: true, force: true })
  }
  try {
    await Promise.all(members.map((member) => member.start()))
  } catch (error) {
    await stopAll()
    throw error
  }
  return {
    members,
    addresses: members.map(({ address }) => address),
    async leader() {
      const leads = await Promise.all(members.map((member) => member.leads()))
      return members.find((_, i) => leads[i])
    },
    destroy: stopAll,
  }
}

function memberOf(
  directory: string,
  peer: string,
  ports: { client: number; status: number },
  cluster: string,
  options: MemberOptions,
) {
  const [name, peerUrl] = peer.split('=') as [string, string]
  const scheme = options.clientScheme ?? 'http'
  const address = `127.0.0.1:${ports.client}`
  const status = `http://127.0.0.1:${ports.status}`
  let child: ChildProcess | undefined
  const ask = (path: string): Promise<string> =>
    fetch(`${status}${path}`, { signal: AbortSignal.timeout(1_000) }).then(
      (response) => response.text(),
      () => '',
    )
  return {
    name,
    address,
    directory,
    leads: async () => /^etcd_server_is_leader 1$/m.test(await ask('/metrics')),
    async start(): Promise<void> {
      const running = spawn(
        'etcd',
        [
          ...['--name', name, '--data-dir', directory, '--log-level', 'error', '--listen-metrics-urls', status],
          ...['--listen-client-urls', `${scheme}://${address}`, '--advertise-client-urls', `${scheme}://${address}`],
          ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
          ...['--initial-cluster', cluster, '--initial-cluster-state', 'new'],
          ...(options.flags ?? []),
        ],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      )
      child = running
      let said = ''
      running.stderr!.on('data', (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-2_000)
      })
      while (!/"health":\s*"?true/.test(await ask('/health'))) {
        if (running.exitCode !== null) throw new Error(`etcd ${name} ended with ${running.exitCode}: ${said}`)
        await setTimeout(20)
      }
    },
    signal(signal: NodeJS.Signals): void {
      child?.kill(signal)
    },
    async kill(): Promise<void> {
      const running = child
      child = undefined
      if (!running || running.exitCode !== null || running.signalCode !== null) return
      const exited = once(running, 'exit')
      running.kill('SIGKILL')
      await exited
    },
  }
}
