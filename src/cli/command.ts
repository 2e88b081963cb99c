/** What a command is: data from which it is parsed and explained, and a function. */
import type { Client } from '../client/client.ts'
import type { Cell, Column, Paint } from './style.ts'

/** The outside world of one invocation. */
export interface Io {
  readonly stdout: { write(chunk: string | Uint8Array): unknown; readonly columns?: number }
  readonly stderr: { write(chunk: string | Uint8Array): unknown }
  readonly stdin: AsyncIterable<Uint8Array | string>
  readonly env: Readonly<Record<string, string | undefined>>
  /** Whether stdout is a terminal. */
  readonly isTTY: boolean
  /** Ends commands that run until they are told to stop. */
  readonly signal?: AbortSignal
}

export type FlagType = 'boolean' | 'string' | 'number' | 'duration' | 'list' | 'pairs'

export interface Flag {
  readonly type: FlagType
  readonly purpose: string
  /** What the value is called in help, `name` unless given. */
  readonly value?: string
  /** Shown in help. A flag without one is undefined, or empty for `list` and `pairs`, when not given. */
  readonly default?: string
  /** Environment variables that stand in for the flag, the first that is set. */
  readonly env?: readonly string[]
  readonly choices?: readonly string[]
  /** A list also takes several values in one, separated by commas. */
  readonly commas?: boolean
  /** Taken, but not shown in help. */
  readonly hidden?: boolean
  /** Means that other flag of the same type; what both are given adds up, or the last wins. */
  readonly aliasOf?: string
  /** Other words for values, in lower case; they are taken in any case. */
  readonly synonyms?: Readonly<Record<string, string>>
  /** Of a number; 0 unless given. */
  readonly least?: number
}
export type Flags = Readonly<Record<string, Flag>>

interface ValueOf {
  boolean: boolean
  string: string | undefined
  number: number | undefined
  duration: string | undefined
  list: readonly string[]
  pairs: Readonly<Record<string, string>>
}
export type FlagValues<F extends Flags> = { readonly [K in keyof F]: ValueOf[F[K]['type']] }

export interface Argument {
  readonly name: string
  readonly purpose: string
  readonly optional?: boolean
  /** Takes all that follow. */
  readonly many?: boolean
}

export interface Example {
  readonly line: string
  readonly says: string
}

export interface Context<F extends Flags = Flags> {
  /** Full name, as in `kv get`. */
  readonly name: string
  readonly args: readonly string[]
  readonly flags: FlagValues<F>
  /** Flags that were given on the command line or by the environment, rather than left to their default. */
  readonly given: ReadonlySet<string>
  readonly io: Io
  readonly json: boolean
  readonly paint: Paint
  /** Of the node that `--address` names. */
  client(): Client
  /** One line to stdout. */
  print(line?: string): void
  /** One JSON document, indented; on one line in a stream of them. */
  printJson(value: unknown, options?: { stream?: boolean }): void
  printTable(columns: readonly Column[], rows: readonly (readonly Cell[])[]): void
  /** One line to stderr, for people who wait. */
  note(line: string): void
}

export interface Command<F extends Flags = Flags> {
  readonly examples: readonly Example[]
  readonly arguments?: readonly Argument[]
  readonly flags: F
  /** Paragraphs that follow the flags on the help page. */
  readonly notes?: readonly string[]
  /** Speaks to no node: takes no --address, --token and --timeout. */
  readonly local?: boolean
  /** Resolves with an exit code where it is another than 0. */
  run(context: Context<F>): Promise<number | undefined> | Promise<void>
}

/** Several commands under one word. */
export interface Group {
  readonly examples: readonly Example[]
  readonly commands: Readonly<Record<string, { readonly purpose: string; readonly command: Command }>>
}

/** Keeps the literal types of the flags, so that `run` sees what each of them is. */
export const defineCommand = <const F extends Flags>(command: Command<F>): Command => command as unknown as Command

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
  /** Command whose help page is pointed to. */
  readonly command: string | undefined
  constructor(message: string, command?: string) {
    super(message)
    this.command = command
  }
}

/** It did not work out (not found, refused, ...): exit code 1. */
export class Failure extends Error {
  override readonly name = 'Failure'
  /** Stable, for `--json`. */
  readonly code: string
  /** What to do now. */
  readonly next: string | undefined
  constructor(code: string, message: string, next?: string) {
    super(message)
    this.code = code
    this.next = next
  }
}
