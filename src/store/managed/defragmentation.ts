/** The files of etcd's members are made smaller when most of them is free: etcd itself only ever lets them grow. */
import { messageOf } from '../../model/errors.ts'
import type { Clock, Logger, Random, Timer } from '../../runtime/ports.ts'
import type { Cluster } from '../etcd/cluster.ts'
import { rewriteFile, statusOf } from '../etcd/member-file.ts'
import { listMembers, type Member } from './membership.ts'

export interface MemberFile extends Pick<Member, 'id' | 'learner'> {
  /** Undefined: the member does not answer. */
  readonly file: { readonly leads: boolean; readonly sizeBytes: number; readonly usedBytes: number } | undefined
}

/** Smaller files are not worth a pause. */
const LEAST_BYTES = 64 * 1024 * 1024
const FREE_SHARE = 0.5

/**
 * Whose file is rewritten next, by the server whose own member leads: it alone, so that no two are at once. None while a member is
 * away or catches up, since the one that is rewritten answers nothing either; followers first, as the leader's pause holds up all writes.
 */
export function nextToRewrite(
  members: readonly MemberFile[],
  own: string,
  leastBytes: number = LEAST_BYTES,
): string | undefined {
  if (members.some(({ learner, file }) => learner || file === undefined)) return undefined
  const leaders = members.filter(({ file }) => file!.leads)
  if (leaders.length !== 1 || leaders[0]!.id !== own) return undefined
  const worth = members.filter(({ file }) => {
    const { sizeBytes, usedBytes } = file!
    return sizeBytes >= leastBytes && usedBytes <= sizeBytes * (1 - FREE_SHARE)
  })
  return (worth.find(({ id }) => id !== own) ?? worth[0])?.id
}

export interface DefragmentationOptions {
  readonly cluster: Cluster
  /** Id of this server's member, in hexadecimal. */
  readonly own: string
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** How often is looked, give or take a half. Default 10 minutes. */
  readonly everyMs?: number
  /** Default 64 MiB. */
  readonly leastBytes?: number
}

export class Defragmentation {
  readonly #o: DefragmentationOptions
  #timer: Timer | undefined
  #closed = false

  constructor(options: DefragmentationOptions) {
    this.#o = options
    this.#schedule()
  }

  #schedule(): void {
    if (this.#closed) return
    const { clock, random, everyMs = 600_000 } = this.#o
    this.#timer = clock.after(everyMs * (0.5 + random.float()), () => void this.#run().finally(() => this.#schedule()))
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { cluster, own, leastBytes, logger } = this.#o
    const done = new Set<string>()
    try {
      while (!this.#closed) {
        const members = await this.#files()
        const next = nextToRewrite(members, own, leastBytes)
        // Once each at most: one that gains nothing would be rewritten for ever.
        if (next === undefined || done.has(next)) return
        done.add(next)
        const { name, address } = members.find(({ id }) => id === next)!
        const gainedBytes = await rewriteFile(cluster, cluster.members.indexOf(address!))
        logger.info({ member: name, gainedBytes }, 'the file of a member of etcd was rewritten')
      }
    } catch (error) {
      if (!this.#closed) logger.debug({ reason: messageOf(error) }, 'no file of etcd was rewritten')
    }
  }

  async #files(): Promise<(Member & MemberFile)[]> {
    const { cluster } = this.#o
    const members = await listMembers(cluster)
    return Promise.all(members.map(async (member) => ({ ...member, file: await this.#fileOf(member) })))
  }

  async #fileOf({ address }: Member): Promise<MemberFile['file']> {
    const { cluster } = this.#o
    const at = cluster.members.indexOf(address ?? '')
    if (at < 0) return undefined
    const status = await statusOf(cluster, at).catch(() => undefined)
    if (!status) return undefined
    const leads = status.leader !== 0n && status.leader === status.header?.memberId
    return { leads, sizeBytes: Number(status.dbSize), usedBytes: Number(status.dbSizeInUse) }
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }
}
