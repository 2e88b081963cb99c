import type { MemberReport } from '../node/store-members.ts'
import { defineCommand, Failure, UsageError } from './command.ts'
import { type Cell, printable, statusTone } from './style.ts'

const flags = {
  'data-dir': {
    type: 'string',
    value: 'path',
    env: ['ATOLL_DATA_DIR'],
    purpose: 'data directory of a server with --store etcd:managed, on this machine',
  },
} as const

export const members = defineCommand({
  examples: [
    { line: 'atoll store members --data-dir /var/lib/atoll', says: 'who is there, who leads, who is missing' },
  ],
  flags,
  local: true,
  async run({ flags: given, json, printJson, printTable }) {
    const directory = required(given['data-dir'], 'store members')
    const { storeMembers } = await import('../node/store-members.ts')
    const found = await storeMembers(directory).catch(explain('store members'))
    if (json) return printJson(found.map(shown))
    printTable(
      [{ title: 'MEMBER', cut: true }, { title: 'ID' }, { title: 'ADDRESS' }, { title: 'STATUS' }, { title: 'SIZE' }],
      found.map(row),
    )
  },
})

export const remove = defineCommand({
  examples: [
    { line: 'atoll store remove --data-dir /var/lib/atoll s3', says: 'a member that will not come back makes room' },
  ],
  arguments: [{ name: 'member', purpose: 'name or id, as "atoll store members" shows it' }],
  flags: {
    ...flags,
    force: { type: 'boolean', purpose: 'also where those that remain and answer are no majority' },
  },
  notes: [
    'The next server that starts without data takes its place. A server of the same name or address does so without this command.',
  ],
  local: true,
  async run({ args, flags: given, json, print, printJson }) {
    const directory = required(given['data-dir'], 'store remove')
    const { removeStoreMember } = await import('../node/store-members.ts')
    const removed = await removeStoreMember(directory, args[0]!, given.force).catch(explain('store remove'))
    return json ? printJson({ Removed: removed }) : print(`${printable(removed)} is a member no longer`)
  },
})

export const recover = defineCommand({
  examples: [
    {
      line: 'atoll store recover --data-dir /var/lib/atoll',
      says: 'the majority is lost for good: go on with this server',
    },
  ],
  flags,
  notes: [
    'Stop all servers of the datacenter first, and never start the others with the data that they have: remove the folder etcd from their data directories, and they are taken in again as new ones.',
    'What only the lost members had acknowledged is gone. Take the server whose member led last, or any that was up when the majority was lost.',
  ],
  local: true,
  async run({ flags: given, json, print, printJson }) {
    const directory = required(given['data-dir'], 'store recover')
    const { recoverStore } = await import('../node/store-members.ts')
    await recoverStore(directory).catch(explain('store recover'))
    if (json) return printJson({ Recover: directory })
    print('start this server: its member is then the only one')
    print('then remove the folder etcd from the data directories of the others, and start them')
  },
})

function required(directory: string | undefined, command: string): string {
  if (directory) return directory
  throw new UsageError(`--data-dir is missing: ${flags['data-dir'].purpose}`, command)
}

/** What the command line got wrong is a mistake of who called; the rest did not work out. */
const explain =
  (command: string) =>
  (error: unknown): never => {
    const { code, name, message, field } = error as { code?: string; name?: string; message: string; field?: string }
    if (name !== 'AtollError' || code === undefined) throw error
    throw field === undefined ? new Failure(code, message) : new UsageError(message, command)
  }

const statusOf = ({ status, learner, name }: MemberReport): string =>
  status ? (learner ? 'catches up' : status.leads ? 'leads' : 'follows') : name === '' ? 'not started' : 'no answer'

function row(member: MemberReport): Cell[] {
  const { name, id, address, status } = member
  const size = status ? `${(status.sizeBytes / 2 ** 20).toFixed(1)} MB` : '-'
  return [name || '-', id, address ?? '-', [statusTone(status ? 'alive' : 'failed'), statusOf(member)], size]
}

const shown = (member: MemberReport) => ({
  Name: member.name,
  ID: member.id,
  Address: member.address,
  PeerUrl: member.peerUrl,
  Learner: member.learner,
  Status: statusOf(member),
  SizeBytes: member.status?.sizeBytes,
  Version: member.status?.version,
})
