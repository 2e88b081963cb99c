import type { MigrateReport } from '../node/migrate-store.ts'
import { flags as agentFlags } from './agent-flags.ts'
import { type Context, defineCommand, Failure, UsageError } from './command.ts'

const flags = {
  from: {
    type: 'string',
    value: 'where',
    purpose: "data directory of the datacenter's server, or etcd://host:port/prefix",
  },
  to: { type: 'string', value: 'where', purpose: 'the same of the new store, which has to be empty' },
  dc: { type: 'string', value: 'name', env: ['ATOLL_DC'], purpose: 'the datacenter whose store it is' },
  'store-user': agentFlags['store-user'],
  'store-password': agentFlags['store-password'],
  'store-ca': agentFlags['store-ca'],
  'store-cert': agentFlags['store-cert'],
  'store-key': agentFlags['store-key'],
  'store-server-name': agentFlags['store-server-name'],
} as const

const PROGRESS_EVERY = 100_000

export const command = defineCommand({
  examples: [
    {
      line: 'atoll store migrate --dc eu-1 --from /var/lib/atoll --to etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379',
      says: 'from the embedded store to etcd',
    },
    {
      line: 'atoll store migrate --dc eu-1 --from etcd://10.0.0.1:2379/atoll/eu-1 --to /var/lib/atoll',
      says: 'and back, into a data directory without a store',
    },
  ],
  flags,
  notes: [
    'Stop all servers of the datacenter first. The old store stays as it was. Until all was copied and compared, no server starts on the new one; a migration that was broken off is run again.',
    'What goes along is what a snapshot holds: nodes, services, checks, keys, sessions with their locks, prepared queries, events. Indexes rise, as after the restore of a snapshot.',
  ],
  local: true,
  async run(context) {
    const { flags: given, note } = context
    const from = required('from', given.from)
    const to = required('to', given.to)
    const datacenter = required('dc', given.dc)
    // Loaded only here: the other commands never pay for it.
    const { migrateStore } = await import('../node/migrate-store.ts')
    let told = 0
    const report = await migrateStore({
      from,
      to,
      datacenter,
      etcd: {
        ...(given['store-user'] !== undefined && { user: given['store-user'] }),
        ...(given['store-password'] !== undefined && { password: given['store-password'] }),
        tls: {
          ca: given['store-ca'],
          cert: given['store-cert'],
          key: given['store-key'],
          serverName: given['store-server-name'],
        },
      },
      onProgress(entries) {
        if (entries < told + PROGRESS_EVERY) return
        told = entries
        note(`${entries} entries copied`)
      },
    }).catch((error: unknown) => {
      throw explained(error)
    })
    show(context, report, { from, to })
  },
})

function required(name: string, value: string | undefined): string {
  if (value !== undefined && value !== '') return value
  throw new UsageError(`--${name} is missing: ${flags[name as keyof typeof flags].purpose}`, 'store migrate')
}

/** What the flags got wrong is a mistake of who called. */
function explained(error: unknown): unknown {
  const { code, name, message } = error as { code?: string; name?: string; message: string }
  if (name === 'AtollError' && code === 'invalid') return new UsageError(message, 'store migrate')
  if (name !== 'StoreError' || code === undefined) return error
  return new Failure(code, message, NEXT[code])
}

const AGAIN = 'nothing that was copied counts; run the same command again, the old store is as it was'

/** Where the message does not say what to do. */
const NEXT: Readonly<Record<string, string | undefined>> = {
  unavailable: AGAIN,
  overloaded: `${AGAIN}; where etcd is full, give it room first (--quota-backend-bytes)`,
  'disk-full': AGAIN,
  failed: AGAIN,
  compacted: `the etcd forgot history while it was read; ${AGAIN}`,
}

function show(
  { json, print, printJson }: Context<typeof flags>,
  report: MigrateReport,
  { from, to }: { from: string; to: string },
): void {
  const { entries, bytes, sha256, leftOut, resumed, epoch } = report
  if (json) {
    printJson({
      From: { Place: report.from.place, Generation: report.from.generation, Revision: report.from.revision },
      To: { Place: report.to.place, Generation: epoch.generation },
      Entries: entries,
      Bytes: bytes,
      Sha256: sha256,
      LeftOut: leftOut,
      StartedOver: resumed,
    })
    return
  }
  if (resumed) print('an earlier migration was broken off: what it left was removed')
  print(`${entries} entries, ${bytes} bytes, read, written, and read back: the same`)
  print(`  from    ${report.from.place}, generation ${report.from.generation}, revision ${report.from.revision}`)
  print(`  to      ${report.to.place}, generation ${epoch.generation}`)
  print(`  sha256  ${sha256}`)
  if (leftOut > 0) print(`${leftOut} entries about the old store alone and signs of life were left out`)
  const where = to.includes('://') ? `--store ${to}` : `--data-dir ${to} and without --store`
  print(`start the servers with ${where}; ${from} is as it was`)
}
