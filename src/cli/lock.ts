import { isClientError } from '../client/client.ts'
import { runChild } from './child.ts'
import { defineCommand, Failure, UsageError } from './command.ts'
import { durationMs } from './parse.ts'
import { DC_FLAG } from './reading.ts'
import { printable } from './style.ts'

export const command = defineCommand({
  examples: [
    { line: 'atoll lock jobs/report -- ./report.sh', says: 'waits until the lock is free, then runs it' },
    { line: 'atoll lock jobs/report --wait 0s -- ./report.sh', says: 'only if the lock is free now' },
    { line: 'atoll lock leader/web -- node server.ts', says: 'one of several stands by for the others' },
  ],
  arguments: [
    { name: 'key', purpose: 'the key that is the lock' },
    { name: 'command', purpose: 'what to run while it is held, after --', many: true },
  ],
  flags: {
    ...DC_FLAG,
    wait: { type: 'duration', value: 'time', purpose: 'how long to wait for the lock; for ever unless given' },
    ttl: {
      type: 'duration',
      value: 'time',
      default: '15s',
      purpose: 'the lock is lost when the node cannot be reached for so long; 10s at least',
    },
    'lock-delay': {
      type: 'duration',
      value: 'time',
      default: '15s',
      purpose: 'how long nobody gets the lock after it was lost, not after it was given back',
    },
    ephemeral: { type: 'boolean', purpose: 'delete the key when the lock is given back or lost' },
  },
  notes: [
    'The command finds ATOLL_LOCK_KEY, ATOLL_LOCK_SESSION and ATOLL_LOCK_FENCE in its environment; the last is a number that is higher than that of every holder before, for those to check who are written to.',
    'Signals are passed on to the command, and its exit code is that of atoll lock. When the lock is lost the command gets a SIGTERM, five seconds later a SIGKILL, and the exit code is 1.',
  ],
  async run({ name, client, args, flags, io, note }) {
    const [key, ...argv] = args as [string, ...string[]]
    if (argv.length === 0) throw new UsageError('a command is missing after --', name)
    const lock = await client()
      .lock(key, {
        ttlMs: durationMs(flags.ttl ?? '15s')!,
        lockDelayMs: durationMs(flags['lock-delay'] ?? '15s')!,
        ephemeral: flags.ephemeral,
        ...(flags.dc === undefined ? {} : { dc: flags.dc }),
        ...(flags.wait === undefined ? {} : { waitMs: durationMs(flags.wait)! }),
        ...(io.signal ? { signal: io.signal } : {}),
      })
      .catch((error: unknown) => {
        if (isClientError(error) && error.code === 'conflict') {
          throw new Failure('conflict', error.message, `see who has it with: atoll kv get ${printable(key)} --json`)
        }
        throw error
      })
    const env = {
      ...io.env,
      ATOLL_LOCK_KEY: key,
      ATOLL_LOCK_SESSION: lock.session,
      ATOLL_LOCK_FENCE: String(lock.fence),
    }
    try {
      const code = await runChild(argv, { env, stop: lock.lost })
      if (!lock.lost.aborted) return code
      note(`the lock ${printable(key)} was lost: the command was ended`)
      return 1
    } finally {
      await lock.release()
    }
  },
})
