/** `up`: starts a mesh, shows it, and keeps it until Ctrl-C, `down`, or the end of the terminal. */
import { existsSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { LauncherError, messageOf } from './errors.ts'
import { Launcher, type LauncherOptions } from './launcher.ts'
import {
  joinCommand,
  nodeTable,
  roundTripTable,
  type Seen,
  serviceTable,
  suggestionLines,
  suggestions,
} from './report.ts'
import { PROJECT_ROOT } from './runtimes.ts'
import { loadTopology, parseTopology, type Topology } from './schema.ts'
import { Steps, type Style, styleFor } from './terminal.ts'

export interface UpOptions {
  readonly file: string | undefined
  readonly keep: boolean
  readonly name: string | undefined
  readonly httpPort: number | undefined
  readonly libp2pPort: number | undefined
  readonly dnsPort: number | undefined
  readonly servicePort: number | undefined
}

/** A Ctrl-C reaches npm and the launcher, and npm passes its own on: these two are one. */
const SAME_CTRL_C_MS = 400
const PARENT_POLL_MS = 1000

const say = (lines: string | readonly string[]): void => {
  process.stdout.write(`${typeof lines === 'string' ? lines : lines.map((line) => `  ${line}`).join('\n')}\n`)
}

/** Resolves with the exit code, when everything has ended. */
export async function up(options: UpOptions, overrides: Pick<LauncherOptions, 'command'> = {}): Promise<number> {
  const topology = await describe(options)
  const style = styleFor(process.stdout)
  const end = endOf()
  const steps = new Steps(process.stdout, style)
  let running = false
  const launcher = new Launcher({
    topology,
    keepData: options.keep,
    ...overrides,
    onState: (worker, detail) => {
      if (detail !== undefined) say(`\n${style.red(detail)}\n`)
      if (running || end.asked) return
      if (worker.state === 'starting') steps.set(worker.name, 'running', 'starting')
      else if (worker.state === 'ready') steps.set(worker.name, 'done', `${(worker.readyMs / 1000).toFixed(1)} s`)
      else steps.set(worker.name, 'failed', worker.state)
    },
    onCommand: (request, text) => {
      if (text !== '' && request.command !== 'down') say(`  ${style.dim(timeOfDay())} ${text.replaceAll('\n', '; ')}`)
    },
    onDown: () => end.ask('down'),
  })
  end.onHurry = () => launcher.mesh.abandon()
  say(`\n  ${style.bold(`atoll · ${topology.name}`)}\n  ${style.dim(topology.about)}\n`)
  try {
    const started = bringUp(launcher, topology, steps, style)
    await Promise.race([started, end.wanted])
    running = true
    steps.end()
    if (!end.asked) show(launcher, await started, topology, style)
    started.catch(() => {})
  } catch (error) {
    running = true
    steps.end()
    say(`\n${style.red(messageOf(error))}\n`)
    await launcher.stop()
    return 1
  }
  const why = await end.wanted
  say(`\n  ${why}: stopping ...`)
  const began = performance.now()
  await launcher.stop()
  say(`  stopped ${launcher.mesh.nodes.length} nodes in ${((performance.now() - began) / 1000).toFixed(1)} s\n`)
  return 0
}

async function bringUp(launcher: Launcher, topology: Topology, steps: Steps, style: Style): Promise<Seen> {
  for (const { plan } of launcher.mesh.nodes) steps.set(plan.name, 'waiting')
  for (const { plan } of launcher.mesh.backends) steps.set(plan.name, 'waiting')
  const began = performance.now()
  await launcher.start()
  const names = topology.services.map((each) => each.name).join(', ')
  if (names !== '') {
    steps.set('services', 'running', `registering ${names}`)
    await launcher.registerServices()
  }
  let measured = ''
  const { complete, seen } = await launcher.comeTogether(({ links, allLinks, settled, passing, instances }) => {
    const served = passing === instances
    if (names !== '') {
      steps.set('services', served ? 'done' : 'running', `${names}: ${passing} of ${instances} pass`)
    }
    if (allLinks > 0) {
      measured = `${links} of ${allLinks} round trips measured`
      // The later line ends last, so that what is printed does not depend on which of the two was quicker.
      steps.set('federation', served && settled === allLinks ? 'done' : 'running', measured)
    }
  })
  // On a busy machine round trips may stay longer than they are set.
  if (complete && measured !== '') steps.set('federation', 'done', measured)
  steps.end()
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  if (complete) say(`\n  ${style.green('Up')} after ${seconds} s.\n`)
  else
    say(`\n  ${style.yellow(`Not complete after ${seconds} s`)}; the logs in ${launcher.logDirectory} may say why.\n`)
  return seen
}

function show(launcher: Launcher, seen: Seen, topology: Topology, style: Style): void {
  const status = launcher.status()
  for (const lines of [
    nodeTable(status, style),
    roundTripTable(status, seen, style),
    serviceTable(status, seen, style),
  ]) {
    if (lines.length > 0) say([...lines, ''])
  }
  say([
    style.dim('TRY, IN ANOTHER TERMINAL'),
    ...suggestionLines(suggestions(status), style, process.stdout.columns),
    '',
  ])
  const joining = joinCommand(status)
  if (joining !== undefined && topology.datacenters.length > 1) {
    say([style.dim('ADD A DATACENTER'), joining, ''])
  }
  say([
    `${style.dim('Logs:')} ${relative(process.cwd(), launcher.logDirectory) || '.'}`,
    'Ctrl-C stops everything.',
    '',
  ])
}

async function describe(options: UpOptions): Promise<Topology> {
  const path = findFile(options.file ?? 'three-dc')
  const topology = await loadTopology(path)
  const { http, libp2p, dns, services } = topology.ports
  const changed = {
    ...topology,
    name: options.name ?? topology.name,
    ports: {
      ...topology.ports,
      http: options.httpPort ?? http,
      libp2p: options.libp2pPort ?? libp2p,
      dns: options.dnsPort ?? dns,
      services: options.servicePort ?? services,
    },
  }
  return parseTopology(changed, path)
}

/** A path, or the name of a file beside this one. */
function findFile(file: string): string {
  const path = resolve(file)
  const known = join(PROJECT_ROOT, 'topology', file.endsWith('.json') ? file : `${file}.json`)
  if (existsSync(path)) return path
  if (existsSync(known)) return known
  throw new LauncherError(`${file}: there is no such file, neither here nor in topology/`)
}

interface End {
  /** Why it is to end. */
  readonly wanted: Promise<string>
  asked: boolean
  ask(why: string): void
  /** At a second Ctrl-C, just before the process ends at once. */
  onHurry: () => void
}

function endOf(): End {
  let resolveWanted: (why: string) => void = () => {}
  let askedAt = 0
  const end: End = {
    wanted: new Promise((resolve) => {
      resolveWanted = resolve
    }),
    asked: false,
    onHurry: () => {},
    ask(why) {
      if (!end.asked) askedAt = performance.now()
      end.asked = true
      resolveWanted(why)
    },
  }
  const onSignal = (why: string) => (): void => {
    if (end.asked && performance.now() - askedAt > SAME_CTRL_C_MS) {
      end.onHurry()
      process.exit(130)
    }
    end.ask(why)
  }
  process.on('SIGINT', onSignal('Ctrl-C'))
  process.on('SIGTERM', onSignal('SIGTERM'))
  process.on('SIGHUP', onSignal('the terminal closed'))
  // Nobody reads any more; that is no reason to die in the middle.
  process.stdout.on('error', () => {})
  watchParent(end)
  return end
}

/** `npm start` killed with -9 leaves its children behind: what npm started ends with npm. */
function watchParent(end: End): void {
  if (process.env.npm_lifecycle_event === undefined) return
  const parents = ancestors()
  const timer = setInterval(() => {
    const now = ancestors()
    if (parents.every((pid, index) => now[index] === pid)) return
    clearInterval(timer)
    end.ask('npm ended')
  }, PARENT_POLL_MS)
  timer.unref()
}

/** The parent, and on Linux its parent too: between npm and its script there may be a shell. */
function ancestors(): number[] {
  const parent = process.ppid
  try {
    const stat = readFileSync(`/proc/${parent}/stat`, 'utf8')
    return [parent, Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])]
  } catch {
    return [parent]
  }
}

function timeOfDay(): string {
  return new Date().toTimeString().slice(0, 8)
}
