/** The launcher: `npm start`, and `npm run topology -- <command>`. */
import { parseArgs } from 'node:util'
import type { ControlRequest } from './control.ts'
import { LauncherError } from './errors.ts'

const HELP = `Runs a mesh of Atoll nodes on this machine, with an emulated WAN between its datacenters.

  up [FILE]                     start a mesh and keep it until Ctrl-C; FILE is a path or a name in topology/
                                (three-dc unless given; also one-dc, five-regions, two-dc-etcd)
      --keep                    go on with the data of the last run
      --http-port PORT          HTTP port of the first node; the others follow in the file's steps
      --libp2p-port PORT        the same for libp2p
      --dns-port PORT           the same for DNS
      --service-port PORT       the same for the sample backends
      --name NAME               run it under another name, so that two may run at once

From another terminal:
  status [--json]               nodes, links, services
  cut A [B]                     silently drop all bytes between two datacenters (or between A and all others)
  heal A [B]                    undo it
  delay A B MS                  set their round-trip time
  kill NODE                     kill -9; a datacenter's name means all its nodes, here and below
  kill-etcd NODE                kill -9 of a server's member of etcd, which it starts again
  stop NODE, cont NODE          SIGSTOP and SIGCONT: it hangs, and goes on
  restart NODE                  end it if it runs, and start it on the same data
  stop-service DC [SERVICE]     close the sample backends, so that their health checks fail
  start-service DC [SERVICE]    open them again
  down                          end the mesh
      --mesh NAME               which one, when several run
`

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  json: { type: 'boolean' },
  keep: { type: 'boolean' },
  mesh: { type: 'string' },
  name: { type: 'string' },
  'http-port': { type: 'string' },
  'libp2p-port': { type: 'string' },
  'dns-port': { type: 'string' },
  'service-port': { type: 'string' },
} as const

type Flags = ReturnType<typeof parse>['values']

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw new LauncherError(`${(error as Error).message}\n\`npm run topology -- --help\` lists what there is`)
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parse(argv)
  const [command, ...args] = positionals
  if (values.help || command === undefined || command === 'help') {
    process.stdout.write(HELP)
    return command === undefined && !values.help ? 2 : 0
  }
  if (command === 'up') {
    expectCount(command, args, 0, 1, '[FILE]')
    const { up } = await import('./up.ts')
    return up({
      file: args[0],
      keep: values.keep === true,
      name: values.name,
      httpPort: portOf(values, 'http-port'),
      libp2pPort: portOf(values, 'libp2p-port'),
      dnsPort: portOf(values, 'dns-port'),
      servicePort: portOf(values, 'service-port'),
    })
  }
  const { command: run } = await import('./commands.ts')
  return run(requestOf(command, args), { mesh: values.mesh, json: values.json === true })
}

function requestOf(command: string, args: readonly string[]): ControlRequest {
  const [a = '', b, c] = args
  switch (command) {
    case 'status':
    case 'down':
      expectCount(command, args, 0, 0, '')
      return { command }
    case 'cut':
    case 'heal':
      expectCount(command, args, 1, 2, 'DC [DC]')
      return { command, a, b }
    case 'delay':
      expectCount(command, args, 3, 3, 'DC DC MILLISECONDS')
      return { command, a, b: b!, rttMs: numberOf('MILLISECONDS', c!) }
    case 'kill':
    case 'kill-etcd':
    case 'stop':
    case 'cont':
    case 'restart':
      expectCount(command, args, 1, 1, 'NODE')
      return { command, target: a }
    case 'stop-service':
    case 'start-service':
      expectCount(command, args, 1, 2, 'DC [SERVICE]')
      return { command, datacenter: a, service: b }
    default:
      throw new LauncherError(`there is no command "${command}"; \`npm run topology -- --help\` lists them`)
  }
}

function expectCount(command: string, args: readonly string[], least: number, most: number, usage: string): void {
  if (args.length < least || args.length > most) {
    throw new LauncherError(`usage: npm run topology -- ${command} ${usage}`.trimEnd())
  }
}

function numberOf(what: string, text: string): number {
  const value = Number(text.replace(/ms$/, ''))
  if (text === '' || !Number.isFinite(value) || value < 0 || value > 10_000) {
    throw new LauncherError(`${what}: "${text}" is no number from 0 to 10000`)
  }
  return value
}

function portOf(flags: Flags, name: 'http-port' | 'libp2p-port' | 'dns-port' | 'service-port'): number | undefined {
  const text = flags[name]
  if (text === undefined) return undefined
  const port = Number(text)
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  throw new LauncherError(`--${name}: "${text}" is no port (1 to 65535)`)
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(error instanceof LauncherError ? error.message : error)
    process.exit(1)
  },
)
