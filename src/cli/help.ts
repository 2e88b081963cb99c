/** Help pages, rendered from the commands' own descriptions: examples first, since these teach. */
import type { Command, Example, Flag, Flags, Group } from './command.ts'
import { CONNECTION_FLAGS, connectionFlags, GLOBAL_FLAGS } from './parse.ts'
import { type Paint, wrap } from './style.ts'

interface Page {
  readonly paint: Paint
  readonly width: number
}

export function renderOverview(commands: readonly { name: string; purpose: string }[], page: Page): string {
  return lines(
    'Atoll: service discovery for systems that live in several datacenters.',
    '',
    ...section('Examples', renderExamples(OVERVIEW_EXAMPLES, page), page),
    ...section(
      'Commands',
      renderPairs(
        commands.map(({ name, purpose }) => [name, purpose]),
        page,
      ),
      page,
    ),
    ...section(
      'Flags of every command that asks a node',
      renderFlags({ ...CONNECTION_FLAGS, ...GLOBAL_FLAGS }, page),
      page,
    ),
    ...section(
      'Exit codes',
      renderPairs(
        [
          ['0', 'done'],
          ['1', 'it failed: not found, refused, ...'],
          ['2', 'the command line is wrong'],
          ['3', 'the node cannot be reached'],
        ],
        page,
      ),
      page,
    ),
    'atoll <command> --help shows the page of a command.',
  )
}

const OVERVIEW_EXAMPLES: readonly Example[] = [
  { line: 'atoll agent --dev', says: 'run a node on this machine that keeps nothing' },
  { line: 'atoll register web --port 8080 --http-check http://localhost:8080/', says: 'make a service known to it' },
  { line: 'atoll query web --passing', says: 'where a healthy one is: here, or else in the nearest datacenter' },
  { line: 'atoll mesh', says: 'all datacenters, how far and how fresh' },
]

export function renderCommand(name: string, purpose: string, command: Command, page: Page): string {
  const usage = ['atoll', name, ...(command.arguments ?? []).map(argumentWord), '[flags]'].join(' ')
  const own = Object.keys(command.flags).length > 0
  return lines(
    ...title(name, purpose, page),
    '',
    ...section('Examples', renderExamples(command.examples, page), page),
    ...section('Usage', [`  ${usage}`], page),
    ...(command.arguments
      ? section(
          'Arguments',
          renderPairs(
            command.arguments.map((one) => [argumentWord(one), one.purpose]),
            page,
          ),
          page,
        )
      : []),
    ...(own ? section('Flags', renderFlags(command.flags, page), page) : []),
    ...(command.notes ?? []).flatMap((note) => [...wrap(note, page.width), '']),
    ...section('Flags of every command', renderFlags({ ...connectionFlags(command), ...GLOBAL_FLAGS }, page), page),
  ).trimEnd()
}

export function renderGroup(name: string, purpose: string, group: Group, page: Page): string {
  const commands = Object.entries(group.commands).map(([word, one]): [string, string] => [
    `${name} ${word}`,
    one.purpose,
  ])
  return lines(
    ...title(name, purpose, page),
    '',
    ...section('Examples', renderExamples(group.examples, page), page),
    ...section('Commands', renderPairs(commands, page), page),
    `atoll ${name} <command> --help shows the page of a command.`,
  )
}

function title(name: string, purpose: string, { paint, width }: Page): string[] {
  const command = `atoll ${name}`
  const [first, ...rest] = wrap(`${command}: ${purpose}`, width)
  return [paint('bold', command) + first!.slice(command.length), ...rest]
}

const lines = (...all: readonly string[]): string => all.join('\n')

const section = (title: string, body: readonly string[], { paint }: Page): string[] => [
  paint('bold', title),
  ...body,
  '',
]

const argumentWord = ({ name, optional, many }: NonNullable<Command['arguments']>[number]): string => {
  const word = `<${name}>${many ? '...' : ''}`
  return optional ? `[${word}]` : word
}

/** Each example under what it does. */
function renderExamples(examples: readonly Example[], { paint }: Page): string[] {
  return examples.flatMap(({ line, says }) => [`  ${paint('dim', `# ${says}`)}`, `  ${line}`])
}

function renderPairs(pairs: readonly (readonly [string, string])[], { width }: Page): string[] {
  const left = Math.min(34, Math.max(...pairs.map(([key]) => key.length)))
  return pairs.flatMap(([key, text]) => {
    const wrapped = wrap(text, Math.max(24, width - left - 4))
    const indent = ' '.repeat(left + 4)
    const first = key.length > left ? [`  ${key}`, `${indent}${wrapped[0]}`] : [`  ${key.padEnd(left)}  ${wrapped[0]}`]
    return [...first, ...wrapped.slice(1).map((line) => indent + line)]
  })
}

const renderFlags = (flags: Flags, page: Page): string[] =>
  renderPairs(
    Object.entries(flags)
      .filter(([, flag]) => !flag.hidden)
      .map(([name, flag]) => [flagWord(name, flag), flagText(flag)]),
    page,
  )

const PLACEHOLDERS: Readonly<Record<Flag['type'], string>> = {
  boolean: '',
  string: 'text',
  number: 'number',
  duration: 'time',
  list: 'text',
  pairs: 'key=value',
}

function flagWord(name: string, flag: Flag): string {
  const value = flag.value ?? flag.choices?.join('|') ?? PLACEHOLDERS[flag.type]
  return `--${name}${flag.type === 'boolean' ? '' : ` <${value}>`}`
}

function flagText(flag: Flag): string {
  const more = [
    flag.type === 'list' || flag.type === 'pairs' ? 'can be repeated' : '',
    flag.default === undefined ? '' : `default ${flag.default}`,
    flag.env ? flag.env.join(' or ') : '',
  ].filter((text) => text !== '')
  return more.length > 0 ? `${flag.purpose} (${more.join('; ')})` : flag.purpose
}
