/**
 * Changed bytes, seeded, for as long as it is told, against one node in a process of its own: it neither ends nor grows.
 *
 *   node test/bench/fuzz.ts [--seconds 60] [--seed 1] [--json]
 */
import { parseArgs } from 'node:util'
import { SeededRandom } from '../../src/runtime/virtual.ts'
import { FUZZED, fuzz } from '../support/fuzz.ts'
import { orderedIdentities } from '../support/hosts.ts'
import { type Listening, Script } from './flood/script.ts'
import { note, type Row, report } from './report.ts'
import { Wire } from './wire.ts'

const BAR_BYTES = 30e6
const ROUNDS = 200

export async function fuzzed(seconds: number, seed: number): Promise<Row[]> {
  const victim = new Script('test/bench/flood/victim.ts', ['eu-1', '', 'test'], ['--expose-gc'])
  const memory = async (): Promise<number> => (await victim.ask<{ liveBytes: number }>('memory')).liveBytes
  const rows: Row[] = []
  try {
    const { address, port } = await victim.line<Listening>()
    // Smaller than most: the hostile side is to open the call stream.
    const [identity] = await orderedIdentities(64)
    const random = new SeededRandom(seed)
    for (const what of FUZZED) {
      await fuzz(what, { address, identity: identity!, random, rounds: ROUNDS })
      const before = await memory()
      const endMs = performance.now() + (seconds * 1000) / FUZZED.length
      let rounds = 0
      for (; performance.now() < endMs; rounds += ROUNDS)
        await fuzz(what, { address, identity: identity!, random, rounds: ROUNDS })
      const after = await memory()
      note(`${what}: ${rounds} rounds`)
      rows.push({
        what: `${rounds} changed messages: ${what}; live heap and buffers`,
        measured: `${(after / 1e6).toFixed(1)} MB (${(before / 1e6).toFixed(1)} before)`,
        bar: 'within 30 MB',
        met: after - before < BAR_BYTES,
      })
    }
    const wire = await Wire.open(port)
    const { status } = await wire.get('/v1/status/leader')
    wire.close()
    rows.push({ what: 'the node answers afterwards', measured: String(status), bar: '200', met: status === 200 })
    return rows
  } finally {
    victim.end()
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean' },
    },
  })
  await report(() => fuzzed(Number(values.seconds), Number(values.seed)))
  process.exit()
}
