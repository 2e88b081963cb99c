/** `/v1/agent`: the machine under a node, its metrics and its log. */
import * as z from 'zod'
import { type HostReport, LOG_LEVELS, type LogLineLevel } from '../../runtime/ports.ts'
import { json, ON_STREAMS, respond, text } from '../answer.ts'
import { flag, oneOf, shows, streams, words } from '../described.ts'
import { badRequest, HttpError } from '../errors.ts'
import { type Json, type JsonStruct, utf8 } from '../json.ts'
import { consulLine, jsonLine } from '../log-lines.ts'
import { metricsOf, prometheusText } from '../metrics.ts'
import type { Call, Context, Route } from '../route.ts'
import * as agent from '../schemas/agent.ts'
import { linkSignals } from '../signals.ts'

export const agentMachineRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/agent/host',
    summary: 'The machine that this node runs on',
    answers: { 200: shows('The machine', agent.host) },
    async handle(call, { machine, clock }) {
      return json(hostShape(await machine.report(), clock.wallMs()), call.pretty)
    },
  },
  {
    method: 'GET',
    path: '/v1/agent/metrics',
    summary: 'What this node is busy with, and what it knows',
    answers: {
      200: {
        what: 'The metrics',
        content: { 'application/json': agent.metrics, 'text/plain': z.string() },
      },
    },
    parameters: { format: oneOf('in the text format of Prometheus', 'prometheus') },
    async handle(call, context) {
      const metrics = await metricsOf(call, context)
      if (call.query.get('format') === 'prometheus') {
        const headers = { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }
        return respond({ status: 200, bytes: utf8(prometheusText(metrics)), headers })
      }
      const now = new Date(context.clock.wallMs()).toISOString()
      const host = context.machine.metricsHost
      return json(
        {
          Timestamp: `${now.slice(0, 10)} ${now.slice(11, 19)} +0000 UTC`,
          Gauges: metrics.map(({ name, value, labels }) => ({
            Name: host === '' ? name : name.replace('.', `.${host}.`),
            Value: value,
            Labels: labels,
          })),
          Points: [],
          Counters: [],
          Samples: [],
        },
        call.pretty,
      )
    },
  },
  {
    method: 'GET',
    path: '/v1/agent/monitor',
    summary: 'The log of this node, line by line, from now on',
    answers: {
      200: streams('Lines, until the connection is closed', 'application/octet-stream'),
      501: words('The log goes to a logger that cannot be followed'),
    },
    parameters: {
      loglevel: oneOf('info unless given', 'debug', 'info', 'warn', 'error'),
      logjson: flag('as JSON objects'),
    },
    handle: (call, context) => monitor(call, context),
  },
]

/** As gopsutil gives it, which is what Consul shows. */
function hostShape({ memory, cpus, host, disk }: HostReport, wallMs: number): JsonStruct {
  const used = disk && disk.totalBytes - disk.freeBytes
  return {
    Memory: memory,
    CPU: cpus.map((cpu, i): Json => ({ cpu: i, modelName: cpu.modelName, mhz: cpu.mhz, cores: 1 })),
    Host: {
      hostname: host.hostname,
      uptime: host.uptimeS,
      bootTime: Math.floor(wallMs / 1000) - host.uptimeS,
      os: host.os,
      platform: host.os,
      platformVersion: host.platformVersion,
      kernelVersion: host.kernelVersion,
      kernelArch: host.kernelArch,
    },
    Disk:
      disk === undefined
        ? null
        : {
            path: disk.path,
            total: disk.totalBytes,
            free: disk.freeBytes,
            used: used!,
            usedPercent: (used! / Math.max(1, disk.totalBytes)) * 100,
            inodesTotal: disk.files,
            inodesUsed: disk.files - disk.freeFiles,
            inodesFree: disk.freeFiles,
          },
    CollectionTime: Math.floor(wallMs * 1e6),
    Errors: null,
  }
}

/** Lines that wait for a slow reader; of more, it is told how many are missing. */
const MAX_LINES = 512

/** Lines between who writes them and who reads them. */
class LineQueue {
  readonly #waiting: Uint8Array[] = []
  #missing = 0
  #wake: (() => void) | undefined

  put(line: string): void {
    if (this.#waiting.length >= MAX_LINES) this.#missing++
    else this.#waiting.push(utf8(line))
    this.wake()
  }

  /** Whoever waits for a line is told to look. */
  wake(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  /** Resolves when there is a line, or at `wake`. */
  async ready(): Promise<void> {
    if (this.#waiting.length > 0) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
  }

  take(): Uint8Array | undefined {
    return this.#waiting.shift()
  }

  /** How many lines found no room, once all others were taken. */
  takeMissing(): number {
    if (this.#waiting.length > 0) return 0
    const missing = this.#missing
    this.#missing = 0
    return missing
  }
}

function levelOf({ query }: Call): LogLineLevel {
  const given = query.get('loglevel').toLowerCase() || 'info'
  const level = given === 'err' ? 'error' : given === 'trace' ? 'debug' : given
  const known = LOG_LEVELS.find((one) => one === level)
  if (known === undefined) throw badRequest(`Bad request: Unknown log level: ${query.get('loglevel')}`)
  return known
}

function monitor(call: Call, context: Context): Response {
  const level = levelOf(call)
  const { machine, watchers, closing, clock } = context
  if (machine.log === undefined)
    return text(501, 'the log of this node cannot be followed: it goes to a logger of its own')
  const leave = watchers.enter()
  if (!leave) throw new HttpError(429, 'too many requests follow this node', { 'Retry-After': '5' })
  const shape = call.query.has('logjson') ? jsonLine : consulLine
  const own = (level: LogLineLevel, msg: string, more: object = {}): string =>
    shape(`${JSON.stringify({ level, time: new Date(clock.wallMs()).toISOString(), msg, ...more })}\n`)
  const { signal, done } = linkSignals(call.request.signal, closing)
  const queue = new LineQueue()
  const unfollow = machine.log.follow({ level, onLine: (line) => queue.put(shape(line)) })
  const end = (): void => {
    unfollow()
    done()
    leave()
    queue.wake()
  }
  signal.addEventListener('abort', end, { once: true })
  if (signal.aborted) end()
  // A head without a body would be held back by some servers until the first line comes.
  queue.put(own('info', 'following the log', { loglevel: level }))
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (!signal.aborted) await queue.ready()
        const line = queue.take()
        if (line) controller.enqueue(line)
        if (signal.aborted) return controller.close()
        const missing = queue.takeMissing()
        if (missing > 0) {
          const told = own('warn', `${missing} lines are missing: they came faster than they were read`)
          controller.enqueue(utf8(told))
        }
      },
      cancel: end,
    },
    { highWaterMark: 1 },
  )
  return new Response(stream, { status: 200, headers: STREAM_HEADERS })
}

const STREAM_HEADERS = {
  ...ON_STREAMS,
  'Content-Type': 'application/octet-stream',
  'Cache-Control': 'no-store',
  'X-Accel-Buffering': 'no',
} as const
