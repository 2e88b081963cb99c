/** argv to a command's typed flags and arguments. Everything that is wrong is a UsageError that says what is right. */
import { parseArgs } from 'node:util'
import { type Command, type Flag, type Flags, type FlagValues, UsageError } from './command.ts'
import { suggest } from './suggest.ts'

export const GLOBAL_FLAGS = {
  json: { type: 'boolean', purpose: 'print JSON, for programs' },
  help: { type: 'boolean', purpose: 'show this page' },
} as const satisfies Flags

export const CONNECTION_FLAGS = {
  address: {
    type: 'string',
    value: 'host:port',
    purpose: 'HTTP address of the node to ask',
    default: '127.0.0.1:8500',
    env: ['ATOLL_HTTP_ADDR', 'CONSUL_HTTP_ADDR'],
  },
  token: {
    type: 'string',
    value: 'secret',
    purpose: 'ACL token',
    env: ['ATOLL_HTTP_TOKEN', 'CONSUL_HTTP_TOKEN'],
  },
  timeout: { type: 'duration', value: 'time', purpose: 'give up on an answer after this long', default: '10s' },
} as const satisfies Flags

export type ConnectionValues = FlagValues<typeof CONNECTION_FLAGS> & { readonly 'http-addr': string | undefined }

/** How a command names the node: `--address`, or `--http-addr` where the command means something else by the former. */
export function connectionFlags(command: Command): Flags {
  if (command.local) return {}
  const { address, ...others } = CONNECTION_FLAGS
  if ('address' in command.flags) return { 'http-addr': address, ...others }
  return { ...CONNECTION_FLAGS, 'http-addr': { type: 'string', purpose: 'the same as --address', hidden: true } }
}

/** The flags that a command takes, its own and those of all. */
export const allFlags = (command: Command): Flags => ({
  ...connectionFlags(command),
  ...GLOBAL_FLAGS,
  ...command.flags,
})

/** The first word that is no flag and no flag's value, and its place. Flags of all commands may stand before it. */
export function findWord(argv: readonly string[], from = 0): { word: string; at: number } | undefined {
  const { tokens } = tokenize(argv.slice(from), {
    ...CONNECTION_FLAGS,
    'http-addr': CONNECTION_FLAGS.address,
    ...GLOBAL_FLAGS,
  })
  const token = tokens.find((one) => one.kind === 'positional')
  return token && { word: token.value, at: from + token.index }
}

/** Whether `--help` or `-h` is among the flags. */
export const wantsHelp = (argv: readonly string[]): boolean => {
  const end = argv.indexOf('--')
  return argv.slice(0, end < 0 ? argv.length : end).some((arg) => arg === '--help' || arg === '-help' || arg === '-h')
}

interface Token {
  readonly kind: 'option' | 'positional' | 'option-terminator'
  readonly index: number
  readonly name: string
  readonly rawName: string
  readonly value: string
  readonly inlineValue: boolean | undefined
}

/** One dash is as good as two, as in Go's programs: `-data-dir` in the units of Consul's users. */
function withTwoDashes(argv: readonly string[]): string[] {
  const end = argv.indexOf('--')
  return argv.map((arg, at) => ((end < 0 || at < end) && /^-[A-Za-z][\w-]+(?:=|$)/.test(arg) ? `-${arg}` : arg))
}

function tokenize(argv: readonly string[], flags: Flags): { tokens: readonly Token[] } {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { type }]) => [name, { type: type === 'boolean' ? type : 'string' } as const]),
  )
  const { tokens } = parseArgs({
    args: withTwoDashes(argv),
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  return { tokens: tokens as unknown as readonly Token[] }
}

export interface Parsed {
  readonly args: readonly string[]
  readonly flags: Readonly<Record<string, unknown>>
  readonly given: ReadonlySet<string>
}

/** `argv` without the words that name the command. */
export function parseCommand(
  name: string,
  command: Command,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Parsed {
  const flags = allFlags(command)
  const texts = new Map<string, string[]>()
  const args: string[] = []
  for (const token of tokenize(argv, flags).tokens) {
    if (token.kind === 'positional') args.push(token.value)
    if (token.kind !== 'option') continue
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined
    if (!flag) throw unknownFlag(name, token.rawName, flags)
    const value = givenValue(name, token, flag)
    const key = flag.aliasOf ?? token.name
    texts.set(key, [...(texts.get(key) ?? []), value])
  }
  const values: Record<string, unknown> = {}
  for (const [key, flag] of Object.entries(flags)) {
    if (flag.aliasOf !== undefined) continue
    const variable = texts.has(key) ? undefined : flag.env?.find((one) => env[one] !== undefined && env[one] !== '')
    if (variable) texts.set(key, [env[variable]!])
    const fallback = flag.default === undefined ? [] : [flag.default]
    values[key] = convert(name, variable ?? `--${key}`, flag, texts.get(key) ?? fallback)
  }
  checkArguments(name, command, args)
  return { args, flags: values, given: new Set(texts.keys()) }
}

function givenValue(name: string, token: Token, flag: Flag): string {
  if (flag.type === 'boolean') return token.value === undefined ? 'true' : token.value
  if (token.value === undefined) throw new UsageError(`${token.rawName} needs a value`, name)
  if (!token.inlineValue && /^-[^\d]/.test(token.value)) {
    const hint = `a value that begins with "-" is written ${token.rawName}=${token.value}`
    throw new UsageError(`${token.rawName} needs a value (${hint})`, name)
  }
  return token.value
}

function unknownFlag(name: string, rawName: string, flags: Flags): UsageError {
  const meant = suggest(rawName.replace(/^-+/, ''), Object.keys(flags))
  return new UsageError(`unknown flag ${rawName}${meant ? `; did you mean --${meant}?` : ''}`, name)
}

function checkArguments(name: string, command: Command, args: readonly string[]): void {
  const expected = command.arguments ?? []
  const missing = expected.find((argument, at) => !argument.optional && args.length <= at)
  if (missing) throw new UsageError(`<${missing.name}> is missing: ${missing.purpose}`, name)
  if (args.length > expected.length && !expected.at(-1)?.many) {
    throw new UsageError(`unexpected argument "${args[expected.length]}"`, name)
  }
}

const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds of "10s", "1m30s", "250ms"; undefined for anything else. */
export function durationMs(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined
  let sum = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) sum += Number(number) * UNIT_MS[unit!]!
  return sum
}

function convert(name: string, source: string, flag: Flag, texts: readonly string[]): unknown {
  if (flag.type === 'list') {
    const values = flag.commas ? texts.flatMap((text) => text.split(',')) : texts
    return values.map((text) => text.trim()).filter((text) => text !== '')
  }
  if (flag.type === 'pairs') return Object.fromEntries(texts.map((text) => pair(name, source, text)))
  const last = texts.at(-1)
  const text = last === undefined ? undefined : (flag.synonyms?.[last.toLowerCase()] ?? last)
  if (flag.type === 'boolean') return text !== undefined && truth(name, source, text)
  if (text === undefined) return undefined
  if (flag.choices && !flag.choices.includes(text)) {
    throw new UsageError(`${source}: "${text}" is none of ${flag.choices.join(', ')}`, name)
  }
  if (flag.type === 'duration' && durationMs(text) === undefined) {
    throw new UsageError(`${source}: "${text}" is no duration; write it like 500ms, 10s or 1m30s`, name)
  }
  if (flag.type !== 'number') return text
  const number = Number(text)
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(number) || number < (flag.least ?? 0)) {
    throw new UsageError(`${source}: "${text}" is no whole number`, name)
  }
  return number
}

function truth(name: string, source: string, text: string): boolean {
  if (/^(1|true|yes|on)$/i.test(text)) return true
  if (/^(0|false|no|off)$/i.test(text)) return false
  throw new UsageError(`${source}: "${text}" is neither true nor false`, name)
}

function pair(name: string, source: string, text: string): [string, string] {
  // Consul's agent takes key:value.
  const separator = text.search(/[=:]/)
  if (separator < 1) throw new UsageError(`${source}: "${text}" should be key=value`, name)
  return [text.slice(0, separator), text.slice(separator + 1)]
}
