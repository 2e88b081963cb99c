/** The member of etcd that a server runs for itself: its files, its process, and its place in the cluster. */
import { create } from '@bufbuild/protobuf'
import { hostAndPort } from '../../model/addresses.ts'
import { AtollError, messageOf } from '../../model/errors.ts'
import type { Clock, Companions, Disk, Logger, Random, ReservedPort, Timer } from '../../runtime/ports.ts'
import type { Cluster } from '../etcd/cluster.ts'
import { connect, type EtcdOptions } from '../etcd/connect.ts'
import { KV, RangeRequestSchema } from '../etcd/proto/etcd_pb.js'
import { clientTls, createAuthority } from './certificates.ts'
import { Defragmentation } from './defragmentation.ts'
import { memberArguments, urlOf } from './member-arguments.ts'
import { type Admission, addressesOf, admit, listMembers, type Member, promote } from './membership.ts'
import { forgetLog } from './raft-log.ts'
import { type Membership, readSaved, type Saved, type SavedAuthority, writeSaved } from './saved.ts'
import { Supervisor } from './supervisor.ts'

/** How a store reaches the members. */
export type ManagedEnd = Required<Pick<EtcdOptions, 'members' | 'tls' | 'connected'>>

export interface ManagedOptions {
  readonly directory: string
  readonly datacenter: string
  readonly settings: {
    readonly servers: number
    readonly etcdBin: string
    readonly clientPort: number
    readonly peerPort: number
  }
  readonly name: string
  /** Address that the member listens on. */
  readonly bind: string
  /** Address or name under which other servers reach it. */
  readonly host: string
  /** All addresses that its connections may come from, `host` among them. */
  readonly hosts: readonly string[]
  readonly companions: Companions
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly logger: Logger
}

/** A server uses the others' members when its own is not up by then. */
const OWN_MEMBER_MS = 5_000
const POLL_MS = 100
const TELL_MS = 5_000
const FOLLOW_MS = 5_000

export class ManagedEtcd {
  readonly #o: ManagedOptions
  #saved: Saved
  readonly #reserved: readonly ReservedPort[]
  #supervisor: Supervisor | undefined
  #cluster: Cluster | undefined
  #follow: Timer | undefined
  #defragmentation: Defragmentation | undefined
  #stores: Pick<Cluster, 'setMembers'>[] = []
  #ready = false
  #stopped = false

  /** Rejects with AtollError 'invalid' where the folder holds something else. */
  static async open(options: ManagedOptions): Promise<ManagedEtcd> {
    const { disk, directory, companions, bind, settings } = options
    const saved = await readSaved(disk, directory)
    if (saved?.membership) return new ManagedEtcd(options, saved, [])
    // Others on this machine choose theirs at the same time.
    const client = await companions.reservePort(bind, saved?.ports.client ?? settings.clientPort)
    const peer = await companions.reservePort(bind, saved?.ports.peer ?? settings.peerPort)
    const first: Saved = { ...saved, version: 1, ports: { client: client.port, peer: peer.port } }
    const etcd = new ManagedEtcd(options, first, [client, peer])
    try {
      // Who promised told its ports.
      if (saved?.promised) etcd.#saved = saved
      else await writeSaved(disk, directory, first)
      return etcd
    } catch (error) {
      await etcd.stop()
      throw error
    }
  }

  private constructor(options: ManagedOptions, saved: Saved, reserved: readonly ReservedPort[]) {
    this.#o = options
    this.#saved = saved
    this.#reserved = reserved
  }

  get saved(): Saved {
    return this.#saved
  }

  get peerUrl(): string {
    return urlOf(this.#o.host, this.#saved.ports.peer)
  }

  /** Whether others may be taken into the cluster through this server. */
  get isReady(): boolean {
    return this.#ready
  }

  /** Durable once it resolves. */
  async save(change: Partial<Saved>): Promise<void> {
    const saved = { ...this.#saved, ...change }
    await writeSaved(this.#o.disk, this.#o.directory, saved)
    this.#saved = saved
  }

  newCluster(): { readonly cluster: string; readonly authority: SavedAuthority } {
    const { random, datacenter, clock } = this.#o
    const name = `etcd of ${datacenter}`
    const time = { nowMs: clock.wallMs(), serial: random.bytes(16) }
    return { cluster: random.uuid(), authority: { name, ...createAuthority(name, time) } }
  }

  /**
   * Starts the member, or for a server without one only the connections to the others, and resolves once a majority answers, however
   * long that takes. Rejects when `signal` aborts.
   */
  async start(membership: Membership, hasMember: boolean, signal: AbortSignal): Promise<ManagedEnd> {
    const { clock, random, disk, logger, hosts, host } = this.#o
    const tls = clientTls(membership.authority, hosts, { nowMs: clock.wallMs(), serial: random.bytes(16) })
    const own = hostAndPort(host, this.#saved.ports.client)
    const others = membership.addresses.filter((address) => address !== own)
    await this.#release()
    if (hasMember) {
      const folder = disk.join(this.#o.directory, 'tls')
      await disk.makeDirectory(folder)
      const files = {
        ca: disk.join(folder, 'ca.pem'),
        cert: disk.join(folder, 'cert.pem'),
        key: disk.join(folder, 'key.pem'),
      }
      for (const part of ['ca', 'cert', 'key'] as const) await disk.writeAtomic(files[part], tls[part], { mode: 0o600 })
      this.#runMember(membership, files)
    }
    const members = hasMember ? [own, ...others] : others
    const options = { members, tls, prefix: '', owner: '', clock, random, logger }
    const cluster = connect(options)
    this.#cluster = cluster
    await this.#untilReady(cluster, signal)
    if (hasMember && this.#saved.recover) {
      logger.info({}, 'etcd forgets its log, so that those who join are sent its data: some seconds')
      await forgetLog(cluster, clock, signal)
    }
    const ownId = hasMember ? await this.#untilVoting(cluster, signal) : undefined
    if (this.#saved.recover) await this.save({ recover: undefined })
    this.#ready = true
    await this.#followMembers(own)
    this.#follow = clock.every(FOLLOW_MS, () => void this.#followMembers(own))
    if (ownId !== undefined) this.#defragmentation = new Defragmentation({ cluster, own: ownId, clock, random, logger })
    return { members: cluster.members, tls, connected: (store) => this.#stores.push(store) }
  }

  #runMember(membership: Membership, files: { ca: string; cert: string; key: string }): void {
    const { companions, clock, logger, settings, name, bind, host, disk, directory } = this.#o
    const { client: clientPort, peer: peerPort } = this.#saved.ports
    const { cluster, initial, initialState } = membership
    const dataDirectory = disk.join(directory, 'member')
    const fixed = { bin: settings.etcdBin, name, dataDirectory, bind, host, clientPort, peerPort, files }
    const args = () =>
      memberArguments({
        ...fixed,
        cluster,
        initial,
        initialState,
        forceNewCluster: this.#saved.recover === true,
      })
    this.#supervisor = new Supervisor({ args, companions, clock, logger })
  }

  async #untilReady(cluster: Cluster, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#o
    const startMs = clock.nowMs()
    let toldMs = startMs
    for (let tries = 0; ; tries++) {
      signal.throwIfAborted()
      const waitedMs = clock.nowMs() - startMs
      try {
        // One's own member first.
        await proveMajority(cluster, waitedMs < OWN_MEMBER_MS ? 0 : tries % cluster.members.length)
        return
      } catch (error) {
        if (clock.nowMs() - toldMs >= TELL_MS) {
          toldMs = clock.nowMs()
          const said = this.#supervisor?.lastError
          logger.warn({ reason: messageOf(error), ...(said && { said }) }, 'waiting for a majority of the etcd members')
        }
      }
      await clock.sleep(POLL_MS, signal)
    }
  }

  /** A learner has caught up, and counts: its id. A member that was removed meanwhile is not run: undefined. */
  async #untilVoting(cluster: Cluster, signal: AbortSignal): Promise<string | undefined> {
    const { clock, logger, directory } = this.#o
    for (;;) {
      signal.throwIfAborted()
      const members = await provenMembers(cluster).catch(() => undefined)
      const own = members?.find(({ peerUrl }) => peerUrl === this.peerUrl)
      if (members && !own) {
        logger.error(
          { directory },
          'the member of this server was removed from the cluster: it uses those of the others',
        )
        await this.#supervisor?.stop()
        cluster.setMembers(addressesOf(members))
        return undefined
      }
      if (own && (!own.learner || (await promote(cluster, own)))) return own.id
      await clock.sleep(POLL_MS, signal)
    }
  }

  /** The store and the file learn who is there. Never rejects. */
  async #followMembers(own: string): Promise<void> {
    const cluster = this.#cluster!
    try {
      const addresses = addressesOf(await provenMembers(cluster))
      if (this.#stopped || addresses.length === 0) return
      const ordered = addresses.includes(own) ? [own, ...addresses.filter((address) => address !== own)] : addresses
      for (const each of [cluster, ...this.#stores]) each.setMembers(ordered)
      const { membership } = this.#saved
      if (membership && membership.addresses.join() !== ordered.join()) {
        await this.save({ membership: { ...membership, addresses: ordered } })
      }
    } catch (error) {
      this.#o.logger.debug({ reason: messageOf(error) }, 'the members of etcd could not be asked for')
    }
  }

  /** Rejects with AtollError 'unavailable': to be tried again. */
  async admit(newcomer: { readonly name: string; readonly peerUrl: string }): Promise<Admission> {
    if (!this.#ready) throw new AtollError('unavailable', 'the etcd of this server is starting')
    try {
      return await admit(this.#cluster!, newcomer, this.#o.settings.servers)
    } catch (error) {
      throw new AtollError('unavailable', `etcd takes no member now: ${messageOf(error)}`, { cause: error })
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#ready = false
    this.#follow?.cancel()
    this.#defragmentation?.close()
    this.#cluster?.close()
    await this.#release()
    await this.#supervisor?.stop()
  }

  async #release(): Promise<void> {
    await Promise.all(this.#reserved.map((port) => port.release()))
  }
}

/** A linearizable read of nothing. Rejects with CallError. */
async function proveMajority(cluster: Cluster, member: number): Promise<void> {
  const request = create(RangeRequestSchema, { key: Uint8Array.of(0), limit: 1n })
  await cluster.call(KV.method.range, request, { member })
}

/** As of now, and not as a member that lags knows them. */
async function provenMembers(cluster: Cluster): Promise<Member[]> {
  const { current } = cluster
  await proveMajority(cluster, current)
  return listMembers(cluster)
}
