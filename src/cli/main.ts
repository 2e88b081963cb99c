/** The command line: argv to a command, its output, and an exit code. */
import { createClient } from '../client/client.ts'
import { type Command, type Context, type Group, type Io, UsageError } from './command.ts'
import { COMMANDS, type Listed } from './commands.ts'
import { EXIT, reportOf } from './failures.ts'
import { type ConnectionValues, durationMs, findWord, type Parsed, parseCommand, wantsHelp } from './parse.ts'
import { createPaint, type Paint, renderTable } from './style.ts'
import { suggest } from './suggest.ts'

export type { Io } from './command.ts'

/** Runs one command. Never rejects: failures are told on stderr. Resolves with the exit code (see `EXIT`). */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const paint = createPaint(io.isTTY, io.env)
  try {
    return await dispatch(argv, io, paint)
  } catch (error) {
    const { exitCode, code, message, next, status, field } = reportOf(error)
    if (argv.includes('--json')) {
      const report = { Code: code, Message: message, Status: status || undefined, Field: field, Next: next }
      io.stderr.write(`${JSON.stringify({ Error: report })}\n`)
    } else {
      io.stderr.write(`${paint('bad', 'error:')} ${message}\n${next ? `${next}\n` : ''}`)
    }
    return exitCode
  }
}

async function dispatch(argv: readonly string[], io: Io, paint: Paint): Promise<number> {
  const found = findWord(argv)
  if (!found) {
    if (['--version', '-version', '-v'].some((flag) => argv.includes(flag))) return dispatch(['version'], io, paint)
    const asked = argv.length === 0 || wantsHelp(argv)
    if (!asked) throw new UsageError(`a command is missing before ${argv.join(' ')}`)
    return showHelp([], io, paint)
  }
  if (found.word === 'help')
    return showHelp(
      argv.slice(found.at + 1).filter((arg) => !arg.startsWith('-')),
      io,
      paint,
    )
  const listed = listedAs(found.word)
  const rest = argv.toSpliced(found.at, 1)
  const { command: loaded } = await listed.load()
  if (!('commands' in loaded)) {
    if (wantsHelp(rest)) return showHelp([listed.name], io, paint)
    return execute(listed.name, loaded, rest, io, paint)
  }
  const second = findWord(rest)
  if (!second) {
    if (wantsHelp(rest)) return showHelp([listed.name], io, paint)
    throw new UsageError(`${listed.name} needs one of: ${Object.keys(loaded.commands).join(', ')}`, listed.name)
  }
  const name = `${listed.name} ${second.word}`
  const command = memberOf(loaded, listed.name, second.word)
  if (wantsHelp(rest)) return showHelp([listed.name, second.word], io, paint)
  return execute(name, command, rest.toSpliced(second.at, 1), io, paint)
}

function listedAs(word: string): Listed {
  const listed = COMMANDS.find(({ name }) => name === word)
  if (listed) return listed
  const meant = suggest(word, [...COMMANDS.map(({ name }) => name), 'help'])
  throw new UsageError(`unknown command "${word}"${meant ? `; did you mean "${meant}"?` : ''}`)
}

function memberOf(group: Group, name: string, word: string): Command {
  const entry = Object.hasOwn(group.commands, word) ? group.commands[word] : undefined
  if (entry) return entry.command
  const meant = suggest(word, Object.keys(group.commands))
  throw new UsageError(`unknown command "${name} ${word}"${meant ? `; did you mean "${name} ${meant}"?` : ''}`, name)
}

async function showHelp(words: readonly string[], io: Io, paint: Paint): Promise<number> {
  const { renderCommand, renderGroup, renderOverview } = await import('./help.ts')
  const page = { paint, width: Math.min(100, (io.isTTY && io.stdout.columns) || 100) }
  const show = (text: string): number => {
    io.stdout.write(`${text}\n`)
    return EXIT.ok
  }
  const [word, member] = words
  if (word === undefined) {
    return show(renderOverview([...COMMANDS, { name: 'help', purpose: 'show the page of a command' }], page))
  }
  const { name, purpose, load } = listedAs(word)
  const { command } = await load()
  if (!('commands' in command)) return show(renderCommand(name, purpose, command, page))
  if (member === undefined) return show(renderGroup(name, purpose, command, page))
  memberOf(command, name, member)
  const entry = command.commands[member]!
  return show(renderCommand(`${name} ${member}`, entry.purpose, entry.command, page))
}

async function execute(name: string, command: Command, argv: readonly string[], io: Io, paint: Paint): Promise<number> {
  const parsed = parseCommand(name, command, argv, io.env)
  return (await command.run(createContext(name, parsed, io, paint))) ?? EXIT.ok
}

function createContext(name: string, { args, flags, given }: Parsed, io: Io, paint: Paint): Context {
  const print = (line = ''): void => {
    io.stdout.write(`${line}\n`)
  }
  const connection = flags as unknown as ConnectionValues
  return {
    name,
    args,
    flags: flags as Context['flags'],
    given,
    io,
    json: flags.json === true,
    paint,
    client: () =>
      createClient({
        address: withScheme(connection['http-addr'] ?? connection.address!, io.env),
        timeoutMs: durationMs(connection.timeout!)!,
        // Somebody waits at a terminal: say at once that nothing is there.
        retries: 0,
        ...(connection.token ? { token: connection.token } : {}),
      }),
    print,
    printJson: (value, { stream = false } = {}) => print(JSON.stringify(value, undefined, stream ? undefined : 2)),
    printTable(columns, rows) {
      for (const line of renderTable(columns, rows, paint, io.isTTY ? io.stdout.columns : undefined)) print(line)
    },
    note: (line) => {
      io.stderr.write(`${line}\n`)
    },
  }
}

/** CONSUL_HTTP_SSL counts where the address does not say which scheme. */
function withScheme(address: string, env: Io['env']): string {
  const secure = /^(1|true)$/i.test(env.CONSUL_HTTP_SSL ?? '') && !address.includes('://')
  return secure ? `https://${address}` : address
}
