/** What an operator does with a managed etcd, from a server's data directory: by the certificates that are there. */
import { AtollError, messageOf } from '../../model/errors.ts'
import type { Clock, Disk, Random } from '../../runtime/ports.ts'
import { CallError } from '../etcd/call-error.ts'
import type { Cluster } from '../etcd/cluster.ts'
import { connect, silent } from '../etcd/connect.ts'
import { statusOf } from '../etcd/member-file.ts'
import { clientTls } from './certificates.ts'
import { findMember, listMembers, type Member, removeMember } from './membership.ts'
import { readSaved, type Saved, writeSaved } from './saved.ts'

export interface AdministrationOptions {
  /** The folder `etcd` in a server's data directory. */
  readonly directory: string
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
}

export interface MemberReport extends Member {
  /** Undefined: it does not answer. */
  readonly status: { readonly leads: boolean; readonly sizeBytes: number; readonly version: string } | undefined
  /** Why it does not answer. */
  readonly reason: string | undefined
}

const ASK_MS = 3_000

/** Rejects with AtollError 'not-found' where no server with a managed etcd ran, 'unavailable' where no member answers. */
export async function reportMembers(options: AdministrationOptions): Promise<MemberReport[]> {
  return withCluster(options, async (cluster) => {
    const members = await listMembers(cluster)
    const known = members.flatMap(({ address }) => address ?? [])
    cluster.setMembers(known)
    return Promise.all(
      members.map(async (member) => ({
        ...member,
        ...(await answerOf(cluster, known.indexOf(member.address ?? ''))),
      })),
    )
  })
}

/**
 * Takes a member out, by name or id. Rejects as `reportMembers`; with 'conflict' where those that remain and answer would be no
 * majority, unless `force`.
 */
export async function removeFrom(options: AdministrationOptions, which: string, force: boolean): Promise<Member> {
  const members = await reportMembers(options)
  const member = findMember(members, which) as MemberReport
  const others = members.filter(({ id, learner }) => id !== member.id && !learner)
  const answering = others.filter(({ status }) => status !== undefined)
  if (!force && answering.length < Math.floor(others.length / 2) + 1) {
    const failures = others.flatMap(({ name, id, reason }) => (reason ? `${name || id}: ${reason}` : []))
    throw new AtollError(
      'conflict',
      `without ${which} there are ${others.length} voting members, of which ${answering.length} answer: no majority; start them first (${failures.join('; ')})`,
    )
  }
  return withCluster(options, async (cluster) => {
    await removeMember(cluster, member)
    return member
  })
}

/**
 * The next start of the server makes its member the only one, with the data that it has. What the lost members alone had
 * acknowledged is gone then.
 */
export async function markRecovery({ disk, directory }: AdministrationOptions): Promise<void> {
  const saved = await required(disk, directory)
  await writeSaved(disk, directory, { ...saved, recover: true })
}

async function required(disk: Disk, directory: string): Promise<Saved & Required<Pick<Saved, 'membership'>>> {
  const saved = await readSaved(disk, directory)
  if (saved?.membership) return { ...saved, membership: saved.membership }
  throw new AtollError(
    'not-found',
    `${directory} holds no member of an etcd cluster: give the data directory of a server with --store etcd:managed`,
    { field: 'dataDirectory' },
  )
}

async function withCluster<T>(options: AdministrationOptions, act: (cluster: Cluster) => Promise<T>): Promise<T> {
  const { disk, directory, clock, random } = options
  const { membership } = await required(disk, directory)
  const tls = clientTls(membership.authority, [], { nowMs: clock.wallMs(), serial: random.bytes(16) })
  const members = membership.addresses
  const cluster = connect({ members, tls, prefix: '', owner: '', clock, random, logger: silent })
  try {
    // The first that answers; each failure goes on to the next.
    for (let tries = 1; ; tries++) {
      try {
        return await act(cluster)
      } catch (error) {
        if (!(error instanceof CallError)) throw error
        if (error.isOpen && tries < cluster.members.length) continue
        throw new AtollError('unavailable', `etcd at ${cluster.members.join(', ')}: ${messageOf(error)}`, {
          cause: error,
        })
      }
    }
  } finally {
    cluster.close()
  }
}

async function answerOf(cluster: Cluster, member: number): Promise<Pick<MemberReport, 'status' | 'reason'>> {
  if (member < 0) return { status: undefined, reason: 'it was not started' }
  try {
    const status = await statusOf(cluster, member, ASK_MS)
    const leads = status.leader !== 0n && status.leader === status.header?.memberId
    return { status: { leads, sizeBytes: Number(status.dbSize), version: status.version }, reason: undefined }
  } catch (error) {
    if (error instanceof CallError) return { status: undefined, reason: messageOf(error) }
    throw error
  }
}
