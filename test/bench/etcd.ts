/**
 * What the etcd store costs: KV writes of 64 clients through one server on one member, against what the same member does bare;
 * and default (linearizable) reads against stale ones. Each round takes all of them in turns, so that what others do on the
 * machine hits all alike.
 *
 *   node test/bench/etcd.ts [--rounds 7] [--seconds 3] [--clients 64] [--readers 128] [--runtime node] [--json]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { create } from '@bufbuild/protobuf'
import { credentials } from '@grpc/grpc-js'
import { silentLogger } from '../../src/runtime/logger.ts'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { Cluster } from '../../src/store/etcd/cluster.ts'
import { KV, PutRequestSchema } from '../../src/store/etcd/proto/etcd_pb.js'
import { freePorts } from '../../topology/free-ports.ts'
import { commandLine, PROJECT_ROOT } from '../../topology/runtimes.ts'
import type { RuntimeName } from '../../topology/schema.ts'
import { sleep } from '../cluster/harness.ts'
import { startEtcd } from '../support/etcd.ts'
import { load } from './http/load.ts'
import { median, note, type Row, report } from './report.ts'

const VALUE_BYTES = 200
/** Each body is another one: what is there already is not written. */
const write = { method: 'PUT', body: '0'.repeat(VALUE_BYTES) }
const KEYS = 1_000
/** Who ask for sequential keys under one prefix: each looks at the counter that the one before wrote. */
const SEQUENCE_CLIENTS = 16
const WRITE_BAR = 0.6
const READ_BAR = 0.7
const GIVE_UP_MS = 20_000

interface Options {
  readonly rounds: number
  readonly seconds: number
  readonly clients: number
  readonly readers: number
  readonly runtime: RuntimeName
}

export async function etcd({ rounds, seconds, clients, readers, runtime }: Options): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-bench-'))
  const cluster = await startEtcd(1)
  const address = cluster.addresses[0]!
  let server: ChildProcess | undefined
  try {
    const [http, libp2p] = await freePorts(2)
    server = startServer(runtime, folder, address, http!, libp2p!)
    await answers(http!, server)
    const keys = Array.from({ length: KEYS }, (_, i) => `/v1/kv/bench/${i}`)
    await load(http!, keys, clients, 1, write)
    const stale = keys.map((key) => `${key}?stale`)
    const found = new Map<string, number[]>()
    const measure = async (what: string, run: () => Promise<number>): Promise<void> => {
      const perSecond = await run()
      found.set(what, [...(found.get(what) ?? []), perSecond])
    }
    const through = async (paths: readonly string[], connections: number, request: object = {}): Promise<number> => {
      const { requestsPerSecond, failed } = await load(http!, paths, connections, seconds, request)
      if (failed > 0) throw new Error(`${failed} requests failed`)
      return requestsPerSecond
    }
    for (let round = 1; round <= rounds; round++) {
      await measure('bare', () => bareWrites(address, clients, seconds))
      await measure('writes', () => through(keys, clients, write))
      await measure('stale', () => through(stale, readers))
      await measure('default', () => through(keys, readers))
      await measure('sequences', () => through(['/v1/kv/sequence/?sequence'], SEQUENCE_CLIENTS, write))
      note(`round ${round}: ${[...found].map(([what, values]) => `${what} ${values.at(-1)!.toFixed(0)}`).join(', ')}`)
    }
    const shares = (a: string, b: string): number[] => found.get(a)!.map((value, i) => value / found.get(b)![i]!)
    return [
      row(
        `KV writes a second, ${clients} clients: ${runtime}`,
        found.get('writes')!,
        shares('writes', 'bare'),
        WRITE_BAR,
      ),
      row(
        `default reads a second, ${readers} clients: ${runtime}`,
        found.get('default')!,
        shares('default', 'stale'),
        READ_BAR,
      ),
      {
        what: `sequential keys a second under one prefix, ${SEQUENCE_CLIENTS} clients: ${runtime}`,
        measured: `median of ${rounds}: ${median(found.get('sequences')!).toFixed(0)}/s`,
        bar: '',
        met: undefined,
      },
    ]
  } finally {
    if (server && server.exitCode === null) {
      server.kill('SIGKILL')
      await once(server, 'exit')
    }
    await cluster.destroy()
    await rm(folder, { recursive: true, force: true })
  }
}

function row(what: string, perSecond: readonly number[], shares: readonly number[], bar: number): Row {
  const share = median(shares)
  const range = `${percent(Math.min(...shares))} to ${percent(Math.max(...shares))}`
  return {
    what,
    measured: `median of ${shares.length}: ${median(perSecond).toFixed(0)}/s, ${percent(share)} (${range})`,
    bar: `>= ${percent(bar)}`,
    met: share >= bar,
  }
}

const percent = (share: number): string => `${Math.round(share * 100)} %`

/** Puts of the same keys and values, by the driver's own connection and messages, and nothing around them. */
async function bareWrites(address: string, clients: number, seconds: number): Promise<number> {
  const { clock } = await currentRuntime()
  const bare = new Cluster({
    members: [address],
    credentials: credentials.createInsecure(),
    clock,
    logger: silentLogger,
  })
  const value = new Uint8Array(VALUE_BYTES).fill(46)
  let done = 0
  const startMs = performance.now()
  const one = async (client: number): Promise<void> => {
    for (let i = client; performance.now() - startMs < seconds * 1000; i++) {
      const key = new TextEncoder().encode(`bare/${i % KEYS}`)
      await bare.call(KV.method.put, create(PutRequestSchema, { key, value }), { timeoutMs: 10_000 })
      done++
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, i) => one(i * 16)))
  const elapsedS = (performance.now() - startMs) / 1000
  bare.close()
  return done / elapsedS
}

function startServer(
  runtime: RuntimeName,
  folder: string,
  address: string,
  http: number,
  libp2p: number,
): ChildProcess {
  const args = ['agent', '--server', '--dc', 'bench', '--node', 'bench', '--data-dir', folder]
  args.push('--store', `etcd://${address}`, '--http-port', String(http), '--dns-port', '0', '--port', String(libp2p))
  const [file, ...rest] = commandLine(runtime, 'src/main.ts', args)
  return spawn(file!, rest, { cwd: PROJECT_ROOT, stdio: ['ignore', 'ignore', 'inherit'] })
}

async function answers(port: number, server: ChildProcess): Promise<void> {
  for (const untilMs = performance.now() + GIVE_UP_MS; performance.now() < untilMs; await sleep(50)) {
    const answer = await fetch(`http://127.0.0.1:${port}/v1/status/leader`).catch(() => undefined)
    if (answer?.ok && (await answer.text()) !== '""') return
    if (server.exitCode !== null) throw new Error(`the server ended with code ${server.exitCode}`)
  }
  throw new Error(`the server did not answer within ${GIVE_UP_MS / 1000} s`)
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '7' },
      seconds: { type: 'string', default: '3' },
      clients: { type: 'string', default: '64' },
      readers: { type: 'string', default: '128' },
      runtime: { type: 'string', default: 'node' },
    },
    strict: false,
  })
  await report(() =>
    etcd({
      rounds: Number(values.rounds),
      seconds: Number(values.seconds),
      clients: Number(values.clients),
      readers: Number(values.readers),
      runtime: values.runtime as RuntimeName,
    }),
  )
}
