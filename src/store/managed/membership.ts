/** Members of a managed etcd cluster: who they are, and how one comes and goes. */
import { create } from '@bufbuild/protobuf'
import { AtollError } from '../../model/errors.ts'
import { CallError } from '../etcd/call-error.ts'
import type { Cluster } from '../etcd/cluster.ts'
import {
  Cluster as ClusterService,
  type Member as EtcdMember,
  MemberAddRequestSchema,
  MemberListRequestSchema,
  MemberPromoteRequestSchema,
  MemberRemoveRequestSchema,
} from '../etcd/proto/etcd_pb.js'

export interface Member {
  /** In hexadecimal, as etcdctl shows it. */
  readonly id: string
  /** '' until it has started for the first time. */
  readonly name: string
  readonly peerUrl: string
  /** As host:port; undefined until it has started. */
  readonly address: string | undefined
  readonly learner: boolean
}

const CALL_MS = 5_000
const options = { timeoutMs: CALL_MS }

const memberOf = ({ ID, name, peerURLs, clientURLs, isLearner }: EtcdMember): Member => ({
  id: ID.toString(16),
  name,
  peerUrl: peerURLs[0] ?? '',
  address: clientURLs[0]?.replace(/^https?:\/\//, ''),
  learner: isLearner,
})

/** Rejects with CallError, as all of these. */
export async function listMembers(cluster: Cluster): Promise<Member[]> {
  const call = { ...options, proves: false }
  const { members } = await cluster.call(ClusterService.method.memberList, create(MemberListRequestSchema), call)
  return members.map(memberOf)
}

/** As a learner, which counts for no majority until it is promoted. Returns all members with it. */
export async function addLearner(cluster: Cluster, peerUrl: string): Promise<Member[]> {
  const request = create(MemberAddRequestSchema, { peerURLs: [peerUrl], isLearner: true })
  const { members } = await cluster.call(ClusterService.method.memberAdd, request, options)
  return members.map(memberOf)
}

export async function removeMember(cluster: Cluster, { id }: Pick<Member, 'id'>): Promise<void> {
  const request = create(MemberRemoveRequestSchema, { ID: BigInt(`0x${id}`) })
  await cluster.call(ClusterService.method.memberRemove, request, options)
}

/** Whether it votes from now on; not while it has not caught up. */
export async function promote(cluster: Cluster, { id }: Pick<Member, 'id'>): Promise<boolean> {
  try {
    const request = create(MemberPromoteRequestSchema, { ID: BigInt(`0x${id}`) })
    await cluster.call(ClusterService.method.memberPromote, request, options)
    return true
  } catch (error) {
    if (error instanceof CallError) return false
    throw error
  }
}

export interface Admission {
  /** Undefined: there are as many members as wanted, and this server uses them without one of its own. */
  readonly initial: readonly { readonly name: string; readonly peerUrl: string }[] | undefined
  readonly addresses: readonly string[]
}

/**
 * Takes a server without data into the cluster. A member of its address or its name has lost its data, or it would be running there: it is
 * replaced. Rejects with CallError: where there is no majority, and while another learner catches up.
 */
export async function admit(
  cluster: Cluster,
  newcomer: { readonly name: string; readonly peerUrl: string },
  wanted: number,
): Promise<Admission> {
  let members = await listMembers(cluster)
  for (const lost of members.filter(({ name, peerUrl }) => peerUrl === newcomer.peerUrl || name === newcomer.name)) {
    await removeMember(cluster, lost)
    members = members.filter(({ id }) => id !== lost.id)
  }
  const addresses = addressesOf(members)
  if (members.length >= wanted) return { initial: undefined, addresses }
  const all = await addLearner(cluster, newcomer.peerUrl)
  const initial = all
    .filter(({ name, peerUrl }) => name !== '' || peerUrl === newcomer.peerUrl)
    .map(({ name, peerUrl }) => ({ name: peerUrl === newcomer.peerUrl ? newcomer.name : name, peerUrl }))
  return { initial, addresses }
}

/** Where the voting members are reached, as host:port. */
export const addressesOf = (members: readonly Member[]): string[] =>
  members.flatMap(({ address, learner }) => (address === undefined || learner ? [] : [address]))

/** By name or id. Throws AtollError 'not-found'. */
export function findMember(members: readonly Member[], which: string): Member {
  const found = members.find(({ id, name }) => id === which || name === which)
  if (found) return found
  const names = members.map(({ id, name }) => name || id).join(', ')
  throw new AtollError('not-found', `there is no member "${which}"; there are ${names}`)
}
