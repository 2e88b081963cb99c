/**
 * What a peer that floods, and one that never reads, cost a node: its memory, and the latency of honest lookups meanwhile.
 * Both have a valid certificate and are processes of their own (flood/attacker.ts).
 *
 *   node test/bench/flood.ts [--seconds 15] [--modes flood,mute] [--json]
 *
 * Modes: flood, or gossip, calls or tails alone, and mute.
 */
import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { commandLine, PROJECT_ROOT } from '../../topology/runtimes.ts'
import { sleep } from '../cluster/harness.ts'
import { type Listening, Script } from './flood/script.ts'
import type { OpenLoopResult } from './open-loop.ts'
import { ms, note, quantile, type Row, report } from './report.ts'
import { Wire } from './wire.ts'

const BAR_BYTES = 30e6
const PER_SECOND = 100
const WARM_PER_SECOND = 1500
/** Entries of the service that the attacker asks for: an answer of some 400 KB. */
const LARGE = 1000

interface Phase {
  readonly liveBytes: number
  readonly peakRssBytes: number
  readonly lookups: OpenLoopResult
}

export async function flood(seconds: number, modes: readonly string[]): Promise<Row[]> {
  const scripts: Script[] = []
  const start = (script: string, args: readonly string[] = [], flags: readonly string[] = []): Script => {
    const started = new Script(script, args, flags)
    scripts.push(started)
    return started
  }
  try {
    const victim = start('test/bench/flood/victim.ts', ['eu-1'], ['--expose-gc'])
    const at = await victim.line<Listening>()
    const other = start('test/bench/flood/victim.ts', ['us-1', at.address], ['--expose-gc'])
    const friend = await other.line<Listening>()
    await fill(at.port, 'large', LARGE)
    await fill(friend.port, 'web', 10)
    await sleep(3000)
    const load = (perSecond = PER_SECOND): Promise<Phase> => phase(victim, at.port, seconds, perSecond)
    note('warming up')
    // So that the heap has the size that a node in use has.
    await load(WARM_PER_SECOND)
    const quiet = await load()
    const rows: Row[] = [lookupRow('quiet', quiet.lookups, undefined)]
    for (const mode of modes) {
      const attacker = start('test/bench/flood/attacker.ts', [mode, at.address])
      await attacker.line()
      await sleep(2000)
      const under = await load()
      attacker.process.stdin!.end()
      const done = await attacker.line<Record<string, number>>()
      note(`${mode}: ${JSON.stringify(done)}`)
      rows.push(...memoryRows(mode, quiet, under), lookupRow(mode, under.lookups, quiet.lookups))
      await sleep(3000)
    }
    const after = await load()
    rows.push(...memoryRows('afterwards', quiet, after), lookupRow('afterwards', after.lookups, quiet.lookups))
    return rows
  } finally {
    for (const script of scripts) script.end()
  }
}

async function fill(port: number, service: string, instances: number): Promise<void> {
  const wire = await Wire.open(port)
  for (let i = 0; i < instances; i++) {
    const { status } = await wire.put('/v1/catalog/register', {
      Node: `host-${i % 50}`,
      Address: '10.0.0.1',
      Service: { ID: `${service}-${i}`, Service: service, Port: 8000 + i, Meta: { version: '1.0.0' } },
      SkipNodeUpdate: i >= 50,
    })
    if (status !== 200) throw new Error(`registering ${service}: ${status}`)
  }
  wire.close()
}

/** Honest lookups of another DC's service at a steady rate, and what the victim's memory came to meanwhile. */
async function phase(victim: Script, port: number, seconds: number, perSecond: number): Promise<Phase> {
  const { pid } = victim.process
  await victim.ask('memory')
  // Peak memory counts from now on.
  await writeFile(`/proc/${pid}/clear_refs`, '5')
  const asked = { port, path: '/v1/health/service/web?dc=us-1', perSecond, seconds, expect: '"web-1"' }
  const [file, ...args] = commandLine('node', 'test/bench/open-loop.ts', [JSON.stringify(asked)])
  const loop = spawn(file!, args, { cwd: PROJECT_ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  loop.stdout.on('data', (chunk) => {
    out += chunk
  })
  await new Promise<void>((resolve) => loop.once('exit', () => resolve()))
  // Once, at the end: collecting garbage stops the node.
  const { liveBytes, most } = await victim.ask<{ liveBytes: number; most: Record<string, number> }>('memory')
  const parts = Object.entries(most).map(([part, bytes]) => `${part} ${(bytes / 1e6).toFixed(0)}`)
  note(`at most, in MB, garbage included: ${parts.join(', ')}`)
  const lookups = JSON.parse(out) as OpenLoopResult
  if (lookups.firstFailure !== undefined) note(`a lookup failed ${lookups.firstFailure}`)
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const peakRssBytes = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)![1]) * 1024
  return { liveBytes, peakRssBytes, lookups }
}

function memoryRows(mode: string, before: Phase, under: Phase): Row[] {
  const row = (what: string, from: number, to: number): Row => ({
    what: `${what}, ${mode}`,
    measured: `${(to / 1e6).toFixed(1)} MB (${(from / 1e6).toFixed(1)} when quiet)`,
    bar: 'within 30 MB',
    met: to - from < BAR_BYTES,
  })
  return [
    row('live heap, buffers included, at most', before.liveBytes, under.liveBytes),
    row('peak of resident memory', before.peakRssBytes, under.peakRssBytes),
  ]
}

const lookupRow = (mode: string, { latenciesMs, failed, lateP99Ms }: OpenLoopResult, quiet?: OpenLoopResult): Row => ({
  what: `${PER_SECOND} lookups a second, ${mode}`,
  measured: `p50 ${ms(quantile(latenciesMs, 0.5))} ms, p99 ${ms(quantile(latenciesMs, 0.99))} ms${quiet === undefined ? '' : ` (${ms(quantile(quiet.latenciesMs, 0.99))} when quiet)`}, asked up to ${ms(lateP99Ms)} ms late, ${failed} failed`,
  bar: 'none fails',
  met: failed === 0,
})

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '15' },
      modes: { type: 'string', default: 'flood,mute' },
      json: { type: 'boolean' },
    },
  })
  await report(() => flood(Number(values.seconds), values.modes.split(',')))
}
