/**
 * Malformed packets, mutated from real ones, sent by UDP to a node on each runtime: it must go on to answer, and must not
 * grow.
 *
 *   node test/bench/dns-fuzz.ts [--packets 1000000] [--runtimes node,deno,bun] [--seed 1] [--json]
 */
import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { queryFor, readMessage } from '../../src/dns/testing/queries.ts'
import { SeededRandom } from '../../src/runtime/virtual.ts'
import { freePorts } from '../../topology/free-ports.ts'
import { commandLine, PROJECT_ROOT } from '../../topology/runtimes.ts'
import { eventually } from '../cluster/harness.ts'
import { byTcp, byUdp } from '../replay/dns.ts'
import { note, type Row, report } from './report.ts'

const BATCH = 100
/** A name that was made up is kept like any other until its cache is full, here and in the resolver: by 600,000 packets. */
const WARM_UP_SHARE = 0.6
const GROWTH_MB = 30

const ORIGINALS = [
  queryFor('web.service.consul', { type: 'SRV', udpBytes: 1232, subnet: [0, 1, 24, 0, 192, 0, 2] }),
  queryFor('v1.web.service.nearest.atoll', { type: 'A' }),
  queryFor('_web._tcp.service.dc1.consul', { type: 'ANY', udpBytes: 4096 }),
  queryFor('1.0.0.10.in-addr.arpa', { type: 'PTR' }),
  queryFor('bench.node.consul', { type: 'TXT' }),
  queryFor('consul', { type: 'SOA' }),
  queryFor('0a000001.addr.consul', { type: 'AAAA' }),
]

/** Bytes changed, taken out, put in or cut off. */
function mutated(random: SeededRandom, n: number): Uint8Array {
  const below = (limit: number): number => Math.floor(random.float() * limit)
  let data = ORIGINALS[n % ORIGINALS.length]!.slice()
  for (let changes = 1 + below(5); changes > 0; changes--) {
    const at = below(data.length)
    const kind = below(8)
    if (kind < 5) data[at] = below(256)
    else if (kind === 5) data = data.slice(0, Math.max(1, at))
    else if (kind === 6)
      data = Uint8Array.from([...data.subarray(0, at), ...random.bytes(1 + below(8)), ...data.subarray(at)])
    else data = Uint8Array.from([...data.subarray(0, at), ...data.subarray(at + 1)])
  }
  return data
}

async function fuzz(runtime: string, packets: number, seed: number): Promise<Row> {
  const [http, libp2p, dns] = await freePorts(3)
  const ports = ['--http-port', http, '--port', libp2p, '--dns-port', dns].map(String)
  const [file, ...rest] = commandLine(runtime as never, 'src/main.ts', ['agent', '--dev', '--node', 'bench', ...ports])
  const child = spawn(file!, rest, { cwd: PROJECT_ROOT, stdio: ['ignore', 'ignore', 'inherit'] })
  const socket = createSocket({ type: 'udp4', lookup: (host, _o, done) => done(null, host, 4) })
  try {
    await eventually(
      'the node is up',
      async () => (await fetch(`http://127.0.0.1:${http}/v1/status/leader`)).ok,
      20_000,
    )
    const random = new SeededRandom(seed)
    let answers = 0
    let warm = 0
    socket.on('message', () => answers++)
    // What goes lost in the flood is asked again, as every resolver does.
    const alive = async (): Promise<void> => {
      for (const ask of [byUdp, byTcp]) {
        const data = await eventually(
          'it answers',
          () => ask(queryFor('bench.node.consul'), dns!).catch(() => undefined),
          20_000,
        )
        if (readMessage(data).answers.length !== 1) throw new Error('it answers otherwise')
      }
    }
    for (let n = 0; n < packets; n += BATCH) {
      for (let i = 0; i < BATCH; i++) socket.send(mutated(random, n + i), dns!, '127.0.0.1')
      // As fast as it keeps up: what the kernel drops is not tried.
      await new Promise((wake) => setImmediate(wake))
      if (n % 10_000 === 0) await alive()
      if (n % (packets / 10) === 0) note(`${n}: ${(await residentMb(child.pid!)).toFixed(0)} MB`)
      if (warm === 0 && n >= packets * WARM_UP_SHARE) warm = await residentMb(child.pid!)
    }
    await alive()
    const grownMb = (await residentMb(child.pid!)) - warm
    note(`${runtime}: ${answers} answers, ${warm.toFixed(0)} MB, grown by ${grownMb.toFixed(0)} MB`)
    return {
      what: `malformed packets: ${runtime}`,
      measured: `${packets} sent, ${answers} answered, alive, grown by ${grownMb.toFixed(0)} MB`,
      bar: `0 crashes, < ${GROWTH_MB} MB`,
      met: child.exitCode === null && grownMb < GROWTH_MB,
    }
  } finally {
    socket.close()
    child.kill('SIGKILL')
    if (child.exitCode === null) await once(child, 'exit')
  }
}

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) * 1024) / 1e6
}

const { values } = parseArgs({
  options: {
    packets: { type: 'string', default: '1000000' },
    runtimes: { type: 'string', default: 'node,deno,bun' },
    seed: { type: 'string', default: '1' },
  },
  strict: false,
})
await report(async () => {
  const rows: Row[] = []
  for (const runtime of String(values.runtimes).split(','))
    rows.push(await fuzz(runtime, Number(values.packets), Number(values.seed)))
  return rows
})
