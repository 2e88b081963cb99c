import type { Client } from '../client/client.ts'
import { runChild } from './child.ts'
import { type Context, defineCommand, type Group, UsageError } from './command.ts'
import { DC_FLAG } from './reading.ts'

const COMMAND = {
  name: 'command',
  purpose: 'what to run, after --; what there is comes on its standard input',
  many: true,
} as const

const NOTES = [
  'The command runs once at the beginning and then after each change, one run after the other; changes during a run lead to one more. It finds ATOLL_INDEX in its environment. Signals are passed on to it, and end atoll watch.',
]

const FLAGS = {
  ...DC_FLAG,
  once: { type: 'boolean', purpose: 'end after the first run, with its exit code' },
} as const

async function follow(
  { name, args, io, flags, note }: Context,
  events: (client: Client, signal: AbortSignal, onError: (message: string) => void) => ReturnType<Client['events']>,
  client: Client,
): Promise<number | undefined> {
  const argv = args.slice(1)
  if (argv.length === 0) throw new UsageError('a command is missing after --', name)
  const stop = new AbortController()
  const end = (): void => stop.abort()
  io.signal?.addEventListener('abort', end)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end)
  try {
    for await (const { data, id } of events(client, stop.signal, note)) {
      const code = await runChild(argv, { env: { ...io.env, ATOLL_INDEX: id }, input: `${data}\n`, stop: stop.signal })
      if (flags.once) return code
      if (code !== 0 && !stop.signal.aborted) note(`the command ended with ${code}`)
    }
  } finally {
    io.signal?.removeEventListener('abort', end)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, end)
    stop.abort()
  }
}

const telling = (tell: (message: string) => void) => (error: Error, retryInMs: number) =>
  tell(`${error.message}; trying again in ${Math.round(retryInMs / 100) / 10} s`)

const keys = defineCommand({
  examples: [
    { line: 'atoll watch keys config/web/ -- ./reload.sh', says: 'entries as JSON, as of /v1/kv/config/web/?recurse' },
  ],
  arguments: [{ name: 'prefix', purpose: 'keys that begin so' }, COMMAND],
  flags: FLAGS,
  notes: NOTES,
  run: (context) =>
    follow(
      context as unknown as Context,
      (client, signal, tell) =>
        client.events(`kv/${context.args[0]}`, { dc: context.flags.dc }, { signal, onError: telling(tell) }),
      context.client(),
    ),
})

const service = defineCommand({
  examples: [{ line: 'atoll watch service web --passing -- ./reload.sh', says: 'instances that pass their checks' }],
  arguments: [{ name: 'service', purpose: 'name of the service' }, COMMAND],
  flags: { ...FLAGS, passing: { type: 'boolean', purpose: 'only instances whose checks all pass' } },
  notes: NOTES,
  run: (context) =>
    follow(
      context as unknown as Context,
      (client, signal, tell) =>
        client.events(
          `health/service/${context.args[0]}`,
          { dc: context.flags.dc, passing: context.flags.passing },
          { signal, onError: telling(tell) },
        ),
      context.client(),
    ),
})

export const command: Group = {
  examples: [
    { line: 'atoll watch keys config/web/ -- ./reload.sh', says: 'run it now, and whenever a key changes' },
    { line: 'atoll watch service web --passing -- ./reload.sh', says: 'likewise for the instances of a service' },
  ],
  commands: {
    keys: { purpose: 'run a command when keys with a prefix change', command: keys },
    service: { purpose: 'run a command when a service changes', command: service },
  },
}
