/** `etcd:managed`: the servers of a datacenter find each other through the mesh, and come to one etcd cluster of their own. */
import { z } from 'zod'
import type { Config } from '../config.ts'
import type { Host, Peer } from '../federation/host.ts'
import { hostAndPort } from '../model/addresses.ts'
import { AtollError, messageOf } from '../model/errors.ts'
import { companions } from '../runtime/companion.ts'
import type { Clock, Disk, Logger, Random } from '../runtime/ports.ts'
import { type Candidate, type Hello, mayPromise, nextStep, type Step } from '../store/managed/formation.ts'
import { type ManagedEnd, ManagedEtcd } from '../store/managed/managed.ts'
import { urlOf } from '../store/managed/member-arguments.ts'
import { authoritySchema, candidateSchema, type Membership, membershipSchema } from '../store/managed/saved.ts'
import { assertEtcd } from './etcd-binary.ts'

const HELLO = 'store.hello'
const PROPOSE = 'store.propose'
const OUTCOME = 'store.outcome'
const ADMIT = 'store.admit'

const ROUND_MS = 200
const CALL = { deadlineMs: 2_000 }
/** Taking a member in goes through etcd. */
const ADMIT_CALL = { deadlineMs: 20_000 }
const JOIN_MS = 3_000
const TELL_MS = 5_000
/** Servers of the datacenter that this one has heard of. */
const MAX_KNOWN = 64

const contact = z.object({ peerId: z.string().min(1).max(128), addresses: z.array(z.string().max(512)).max(16) })
const helloSchema = candidateSchema.extend({
  standing: z.enum(['empty', 'promised', 'member']),
  cluster: z.string().max(512),
  servers: z.number().int().min(1).max(7),
  known: z.array(contact).max(MAX_KNOWN + 1),
})
const outcomeSchema = z.object({ state: z.enum(['open', 'void', 'formed']), membership: membershipSchema.optional() })
const admissionSchema = z.object({
  cluster: z.string().min(1).max(512),
  authority: authoritySchema,
  initial: membershipSchema.shape.initial.optional(),
  addresses: membershipSchema.shape.addresses,
})

export interface ManagedStoreOptions {
  readonly config: Config
  readonly name: string
  /** Address of this node for others of its datacenter. */
  readonly address: string
  readonly host: Host
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly logger: Logger
  /** Ends the wait for the others. */
  readonly signal: AbortSignal
}

export interface ManagedStore extends ManagedEnd {
  stop(): Promise<void>
}

/**
 * Resolves once the datacenter's etcd takes writes, however long its servers take to come. Rejects with AtollError 'invalid' where etcd
 * cannot be run, and with the reason of `signal`.
 */
export async function startManagedStore(options: ManagedStoreOptions): Promise<ManagedStore> {
  const { config, host, disk } = options
  await assertEtcd(config.store.managed.etcdBin, options.signal)
  const etcd = await ManagedEtcd.open({
    ...options,
    directory: disk.join(config.dataDirectory!, 'etcd'),
    datacenter: config.datacenter,
    settings: config.store.managed,
    bind: config.federation.host,
    host: options.address,
    hosts: [options.address, '127.0.0.1', '::1', ...addressesIn(host.addresses)],
    companions,
  })
  try {
    const gathering = new Gathering(options, etcd)
    const { membership, hasMember } = await gathering.run()
    return { ...(await etcd.start(membership, hasMember, options.signal)), stop: () => etcd.stop() }
  } catch (error) {
    await etcd.stop()
    throw error
  }
}

const addressesIn = (multiaddrs: readonly string[]): string[] =>
  multiaddrs.flatMap((address) => /^\/ip[46]\/([^/]+)\//.exec(address)?.[1] ?? [])

interface Place {
  readonly membership: Membership
  readonly hasMember: boolean
}

/** The talk among servers before there is a cluster, and later with those that come. */
class Gathering {
  readonly #o: ManagedStoreOptions
  readonly #etcd: ManagedEtcd
  /** Proposal that this server is gathering promises for. */
  #open: string | undefined
  /** Multiaddrs by peer id. */
  readonly #known = new Map<string, readonly string[]>()
  #toldMs: number

  constructor(options: ManagedStoreOptions, etcd: ManagedEtcd) {
    this.#o = options
    this.#etcd = etcd
    this.#toldMs = options.clock.nowMs()
    const { host } = options
    const from = (schema: z.ZodType, answer: (payload: never, peer: Peer) => Promise<unknown>) => {
      return async (payload: unknown, { peer }: { readonly peer: Peer }): Promise<unknown> => {
        if (!isOfOurs(host, peer))
          throw new AtollError('forbidden', 'only servers of the same datacenter share a store')
        return answer(schema.parse(payload) as never, peer)
      }
    }
    host.handle(
      HELLO,
      from(helloSchema, async (hello: z.infer<typeof helloSchema>) => this.#onHello(hello)),
    )
    const proposal = z.object({ cluster: z.string().min(1).max(512) })
    host.handle(
      PROPOSE,
      from(proposal, (asked: { cluster: string }, peer) => this.#onPropose(asked.cluster, peer)),
    )
    host.handle(
      OUTCOME,
      from(proposal, async (asked: { cluster: string }) => this.#outcomeOf(asked.cluster)),
    )
    host.handle(
      ADMIT,
      from(candidateSchema, (candidate: Candidate) => this.#onAdmit(candidate)),
    )
  }

  /** Where this server's place in the cluster is: as written down, or as the servers come to it now. */
  async run(): Promise<Place> {
    const { clock, signal } = this.#o
    for (;;) {
      signal.throwIfAborted()
      const { membership } = this.#etcd.saved
      if (membership) return { membership, hasMember: true }
      const others = await this.#round()
      const step = nextStep(this.#hello(), this.#etcd.saved.promised, others)
      const place = await this.#take(step)
      if (place) return place
      await clock.sleep(ROUND_MS, signal)
    }
  }

  #hello(): Hello & Pick<z.infer<typeof helloSchema>, 'known'> {
    const { membership, promised } = this.#etcd.saved
    const standing = membership ? 'member' : promised || this.#open !== undefined ? 'promised' : 'empty'
    const cluster = membership?.cluster ?? promised?.cluster ?? this.#open ?? ''
    const { host } = this.#o
    const known = [...this.#known].map(([peerId, addresses]) => ({ peerId, addresses: [...addresses] }))
    const self = { peerId: host.self.peerId, addresses: host.addresses.slice(0, 16) }
    return {
      ...this.#candidate(),
      standing,
      cluster,
      servers: this.#o.config.store.managed.servers,
      known: [self, ...known],
    }
  }

  #candidate(): Candidate {
    const { host, name, address } = this.#o
    const { client: clientPort, peer: peerPort } = this.#etcd.saved.ports
    return { peerId: host.self.peerId, name, host: address, clientPort, peerPort }
  }

  /** Looks for the others, and asks those that are there. Never rejects. */
  async #round(): Promise<Hello[]> {
    const { host, config } = this.#o
    const ours = (): Peer[] => host.peers().filter((peer) => isOfOurs(host, peer))
    host.want([...this.#known].map(([peerId, addresses]) => ({ peerId, addresses })))
    if (ours().length + 1 < config.store.managed.servers) this.#join()
    const hello = this.#hello()
    const answers = await Promise.all(
      ours().map(async ({ peerId }) => {
        try {
          const answer = helloSchema.parse(await host.call(peerId, HELLO, hello, CALL))
          this.#learn(answer)
          return [{ ...answer, peerId }]
        } catch {
          // Not there yet, or not with a managed etcd.
          return []
        }
      }),
    )
    return answers.flat()
  }

  /** Addresses that are dialled now, and who answered there. */
  readonly #joining = new Set<string>()
  readonly #joined = new Map<string, string>()

  #join(): void {
    const { host, config, logger } = this.#o
    for (const address of config.federation.join) {
      const joined = this.#joined.get(address)
      if (this.#joining.has(address) || (joined !== undefined && host.peer(joined))) continue
      this.#joining.add(address)
      host
        .join(address, { deadlineMs: JOIN_MS })
        .then(({ peerId }) => void this.#joined.set(address, peerId))
        .catch((error: unknown) => logger.debug({ address, reason: messageOf(error) }, 'not joined yet'))
        .finally(() => this.#joining.delete(address))
    }
  }

  #onHello(hello: z.infer<typeof helloSchema>): unknown {
    this.#learn(hello)
    return this.#hello()
  }

  #learn({ known }: z.infer<typeof helloSchema>): void {
    for (const { peerId, addresses } of known) {
      if (peerId === this.#o.host.self.peerId) continue
      if (this.#known.size < MAX_KNOWN || this.#known.has(peerId)) {
        this.#known.set(
          peerId,
          addresses.map((address) => address.replace(/\/p2p\/[^/]+$/, '')),
        )
      }
    }
  }

  async #take(step: Step): Promise<Place | undefined> {
    switch (step.do) {
      case 'wait':
        this.#tell({ present: step.present, wanted: step.wanted }, 'waiting for the other servers of this datacenter')
        return undefined
      case 'disagree':
        this.#tell({ other: step.with, theirs: step.servers }, 'servers differ in store.managed.servers (--servers)')
        return undefined
      case 'propose':
        return this.#propose(step.members)
      case 'ask-outcome':
        return this.#askOutcome(step.of)
      case 'ask-admission':
        return this.#askAdmission(step.of)
    }
  }

  #tell(fields: Readonly<Record<string, unknown>>, message: string): void {
    const { clock, logger } = this.#o
    if (clock.nowMs() - this.#toldMs < TELL_MS) return
    this.#toldMs = clock.nowMs()
    logger.warn(fields, message)
  }

  async #propose(members: readonly Candidate[]): Promise<Place | undefined> {
    const { host, logger } = this.#o
    const { cluster, authority } = this.#etcd.newCluster()
    this.#open = cluster
    try {
      const others = members.filter(({ peerId }) => peerId !== host.self.peerId)
      const promises = await Promise.all(
        others.map(({ peerId }) => host.call(peerId, PROPOSE, { cluster }, CALL).then(Boolean, () => false)),
      )
      if (!promises.every(Boolean)) return undefined
      const membership: Membership = {
        cluster,
        authority,
        initial: members.map((member) => ({ name: member.name, peerUrl: urlOf(member.host, member.peerPort) })),
        initialState: 'new',
        addresses: members.map((member) => hostAndPort(member.host, member.clientPort)),
      }
      await this.#etcd.save({ membership })
      logger.info({ members: membership.initial.map(({ name }) => name) }, 'the servers form an etcd cluster')
      return { membership, hasMember: true }
    } finally {
      this.#open = undefined
    }
  }

  async #onPropose(cluster: string, { peerId, node }: Peer): Promise<boolean> {
    const { standing } = this.#hello()
    if (!mayPromise(standing, this.#etcd.saved.promised, cluster)) return false
    // Until it is written down, no other comes in between.
    this.#open ??= cluster
    if (this.#open !== cluster) return false
    try {
      await this.#etcd.save({ promised: { cluster, proposer: peerId } })
    } finally {
      this.#open = undefined
    }
    this.#o.logger.debug({ cluster, proposer: node }, 'promised to join a cluster')
    return true
  }

  #outcomeOf(cluster: string): z.infer<typeof outcomeSchema> {
    const { membership } = this.#etcd.saved
    if (membership?.cluster === cluster && membership.initialState === 'new') return { state: 'formed', membership }
    return { state: this.#open === cluster ? 'open' : 'void' }
  }

  async #askOutcome(of: readonly string[]): Promise<Place | undefined> {
    const { host } = this.#o
    const promised = this.#etcd.saved.promised!
    for (const peerId of of) {
      try {
        const answer = await host.call(peerId, OUTCOME, { cluster: promised.cluster }, CALL)
        const { state, membership } = outcomeSchema.parse(answer)
        if (state === 'formed' && membership) {
          await this.#etcd.save({ membership, promised: undefined })
          return { membership, hasMember: true }
        }
        // Others than the proposer may not know yet.
        if (state === 'void' && peerId === promised.proposer) await this.#etcd.save({ promised: undefined })
      } catch (error) {
        const reason = messageOf(error)
        this.#tell({ proposer: promised.proposer, reason }, 'waiting for the server that proposed the etcd cluster')
      }
    }
    return undefined
  }

  async #askAdmission(of: readonly string[]): Promise<Place | undefined> {
    for (const peerId of of) {
      try {
        const answer = await this.#o.host.call(peerId, ADMIT, this.#candidate(), ADMIT_CALL)
        const { cluster, authority, initial, addresses } = admissionSchema.parse(answer)
        const { name } = this.#o
        const unused = [{ name, peerUrl: this.#etcd.peerUrl }]
        const membership: Membership = {
          cluster,
          authority,
          addresses,
          initial: initial ?? unused,
          initialState: 'existing',
        }
        if (initial) await this.#etcd.save({ membership })
        return { membership, hasMember: initial !== undefined }
      } catch (error) {
        this.#tell({ reason: messageOf(error) }, 'waiting to be taken into the etcd cluster')
      }
    }
    return undefined
  }

  async #onAdmit(candidate: Candidate): Promise<z.infer<typeof admissionSchema>> {
    const { membership } = this.#etcd.saved
    if (!membership) throw new AtollError('unavailable', 'this server is in no etcd cluster')
    const { name, host, peerPort } = candidate
    const { initial, addresses } = await this.#etcd.admit({ name, peerUrl: urlOf(host, peerPort) })
    this.#o.logger.info({ name, member: initial !== undefined }, 'a server was taken into the etcd cluster')
    const { cluster, authority } = membership
    return { cluster, authority, addresses: [...addresses], ...(initial && { initial: [...initial] }) }
  }
}

/** Whoever has its datacenter's identity, not only its name, and is a server. */
const isOfOurs = ({ self }: Host, peer: Peer): boolean =>
  peer.role === 'server' && peer.datacenter === self.datacenter && peer.datacenterId === self.datacenterId
