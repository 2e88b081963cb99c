/**
 * Runs every command of README.md as it stands, ports aside, and compares what it prints with what the page shows. Each
 * section has a terminal of its own, whose background processes end with it. `readme/page.ts` tells how blocks are marked.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freeBlock, freePorts, isFree } from '../topology/free-ports.ts'
import { PROJECT_ROOT } from '../topology/runtimes.ts'
import { parsePage, type Section, type Step } from './readme/page.ts'
import { looksLike, shapeOf } from './readme/shape.ts'
import { type Background, environmentOf, start, type } from './readme/terminal.ts'
import { onNode } from './support/on-node.ts'

const WITHIN_MS = 25_000
const PAUSE_MS = 100
/** Of each kind of port that the page may name: 8500, 8510, ... are the first, the second, ... */
const BLOCK = 10

const page = parsePage(await readFile(join(PROJECT_ROOT, 'README.md'), 'utf8'))

/** Where everything that a section's commands leave behind goes. */
interface Place {
  readonly folder: string
  readonly base: number
  readonly env: Readonly<Record<string, string>>
  /** A command of the page, for this place. */
  here(command: string): string
}

async function placeFor(section: Section): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-readme-'))
  const base = await freeBlock(4 * BLOCK)
  const [own, ownDns] = await freePorts(2)
  const mesh = `readme-${base}`
  const topology = JSON.parse(await readFile(join(PROJECT_ROOT, 'topology/three-dc.json'), 'utf8')) as object
  const file = join(folder, 'three-dc.json')
  const ports = { http: base, libp2p: base + BLOCK, services: base + 2 * BLOCK, dns: base + 3 * BLOCK, step: 1 }
  await writeFile(file, JSON.stringify({ ...topology, mesh, ports }))
  await writeFile(join(folder, '.curlrc'), 'silent\n')
  const usesMesh = section.steps.some(({ commands }) => commands.includes('npm start'))
  const env = environmentOf({
    // curl shows its progress where it does not write to a terminal.
    CURL_HOME: folder,
    ATOLL_STATE: join(folder, 'state'),
    ATOLL_DATA_DIR: join(folder, 'data'),
    ATOLL_MESH: mesh,
    ATOLL_NODE: 'laptop',
    ATOLL_HTTP_ADDR: `127.0.0.1:${base}`,
    ATOLL_HTTP_PORT: String(base),
    ATOLL_DNS_PORT: String(usesMesh ? ownDns : base + 3 * BLOCK),
    ATOLL_PORT: String(usesMesh ? own : base + BLOCK),
  })
  const portOf = (port: number): number => {
    if (port >= 8500 && port < 8600) return base + (port - 8500) / 10
    if (port >= 8300 && port < 8400) return base + BLOCK + (port - 8300) / 10
    if (port >= 8600 && port < 8700) return base + 3 * BLOCK + (port - 8600) / 10
    return port
  }
  const here = (command: string): string =>
    command
      .replace(/(?<=localhost:|port |-p )\d{4}\b/g, (port) => String(portOf(Number(port))))
      .replace(/^npm start$/, `npm start -- '${file}'`)
  return { folder, base, env, here }
}

const linesOf = (output: string): string[] => output.split('\n')

async function pause(): Promise<void> {
  await new Promise((wake) => setTimeout(wake, PAUSE_MS))
}

/** What differs, with both sides as they were compared. */
function expectShown(step: Step, output: string): void {
  if (step.output === undefined || looksLike(linesOf(output), step.output)) return
  expect(shapeOf(linesOf(output)).join('\n'), `printed by the commands of line ${step.line}:\n${output}`).toBe(
    shapeOf(step.output).join('\n'),
  )
}

async function runAll(step: Step, place: Place): Promise<string> {
  let output = ''
  for (const command of step.commands) output += `${(await type(place.here(command), place.env)).trimEnd()}\n`
  return output
}

async function perform(step: Step, place: Place, background: Background[]): Promise<void> {
  const deadline = performance.now() + WITHIN_MS
  if (step.mode === 'run') return expectShown(step, await runAll(step, place))
  if (step.mode === 'wait') {
    let output = await runAll(step, place)
    while (!looksLike(linesOf(output), step.output!) && performance.now() < deadline) {
      await pause()
      output = await runAll(step, place)
    }
    return expectShown(step, output)
  }
  const started = step.commands.map((command) => start(place.here(command), place.env))
  background.push(...started)
  const output = (): string => started.map((each) => each.output()).join('')
  while (!looksLike(linesOf(output()), step.output!)) {
    if (performance.now() > deadline || started.some((each) => !each.running)) break
    await pause()
  }
  expectShown(step, output())
}

describe('the README', () => {
  it('says of every shell block how it is run', () => {
    expect(page.length).toBeGreaterThan(2)
    for (const { steps } of page) {
      for (const { mode, output, line } of steps) {
        if (mode === 'wait' || mode === 'background') expect(output, `line ${line}: show the output`).toBeDefined()
      }
    }
  })

  it('names npm scripts that exist', async () => {
    const { scripts } = JSON.parse(await readFile(join(PROJECT_ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>
    }
    const text = await readFile(join(PROJECT_ROOT, 'README.md'), 'utf8')
    const named = text.matchAll(/(?<=[`\n]|&& )npm (?:run (?:-s )?)?(start|test|(?<=run )[a-z:]+)/g)
    const own = new Set([...named].map((each) => each[1]!))
    expect([...own].filter((name) => scripts[name] === undefined)).toEqual([])
    expect(own).toContain('start')
    expect(own).toContain('test')
  })

  it('points to files that are there', async () => {
    const text = await readFile(join(PROJECT_ROOT, 'README.md'), 'utf8')
    const targets = [...text.matchAll(/\]\(((?!https?:|#)[^)]+)\)/g)].map((each) => each[1]!)
    expect(targets.length).toBeGreaterThan(3)
    await Promise.all(targets.map((target) => readFile(join(PROJECT_ROOT, target.split('#')[0]!))))
  })
})

for (const section of page) {
  const steps = section.steps.filter(({ mode }) => mode !== 'scripts')
  if (steps.length === 0) continue
  describe.runIf(onNode)(section.title, () => {
    let place: Place
    const background: Background[] = []
    let failed = false
    beforeAll(async () => {
      place = await placeFor(section)
    })
    afterAll(async () => {
      await Promise.all(background.map((each) => each.stop()))
      const ports = Array.from({ length: 4 * BLOCK }, (_, index) => place.base + index)
      const deadline = performance.now() + 5000
      const taken = async () => (await Promise.all(ports.map(isFree))).some((free) => !free)
      while ((await taken()) && performance.now() < deadline) await pause()
      expect(await taken(), 'something still listens').toBe(false)
      await rm(place.folder, { recursive: true, force: true })
    }, 30_000)
    for (const step of steps) {
      it(`${step.commands.join('; ')} (line ${step.line})`, { timeout: 60_000 }, async (context) => {
        // What follows stands on what came before.
        if (failed) return context.skip()
        failed = true
        await perform(step, place, background)
        failed = false
      })
    }
  })
}
