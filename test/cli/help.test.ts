import { describe, expect, it } from 'vitest'
import { COMMANDS } from '../../src/cli/commands.ts'
import { parseCommand } from '../../src/cli/parse.ts'
import { runCli } from './harness.ts'

const pages: string[][] = [
  [],
  ...COMMANDS.map(({ name }) => [name]),
  ...['get', 'put', 'delete', 'list'].map((word) => ['kv', word]),
  ['store', 'migrate'],
]

describe('help', () => {
  it.each(pages.map((words) => [words.join(' ') || '(overview)', words] as const))('of %s', async (_name, words) => {
    const { code, out, err } = await runCli([...words, '--help'])
    expect(code).toBe(0)
    expect(err).toBe('')
    expect(out).toMatchSnapshot()
    expect(await runCli(['help', ...words])).toMatchObject({ code: 0, out })
    expect(out.split('\n').filter((line) => line.length > 100 && !line.startsWith('  atoll '))).toEqual([])
  })

  it('is shown when nothing is asked', async () => {
    expect((await runCli([])).out).toBe((await runCli(['--help'])).out)
    expect((await runCli(['-h'])).out).toBe((await runCli(['--help'])).out)
    expect(await runCli(['query', '-h', '--bogus'])).toMatchObject({ code: 0 })
  })

  it('fits the terminal', async () => {
    const { out } = await runCli(['query', '--help'], { columns: 60, env: { NO_COLOR: '1' } })
    const prose = out.split('\n').filter((line) => !line.startsWith('  atoll ') && !line.startsWith('  #'))
    expect(prose.filter((line) => line.length > 60)).toEqual([])
  })

  it('gives examples that parse', async () => {
    let count = 0
    for (const { name, load } of COMMANDS) {
      const { command } = await load()
      const members = 'commands' in command ? Object.values(command.commands).map((one) => one.command) : [command]
      for (const { line } of [command, ...members].flatMap((one) => one.examples)) {
        const [, after] = line.split(/(?:^|\| )atoll /)
        const words = after!
          .split(/ \|/)[0]!
          .split(' ')
          .map((word) => word.replaceAll("'", ''))
        if (words[0] !== name) continue
        const target = 'commands' in command ? command.commands[words[1]!]!.command : command
        expect(() => parseCommand(name, target, words.slice('commands' in command ? 2 : 1), {})).not.toThrow()
        count++
      }
    }
    expect(count).toBeGreaterThan(35)
  })
})
