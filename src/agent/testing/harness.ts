import type { LocalCheckDefinition, LocalServiceDefinition } from '../../model/local.ts'
import type { HttpProbe, Logger } from '../../runtime/ports.ts'
import type { CheckProbes } from '../../runtime/probes.ts'
import { SeededRandom, VirtualClock } from '../../runtime/virtual.ts'
import { createAgent, type LocalAgent } from '../agent.ts'
import type { AgentOptions } from '../options.ts'
import { FakeCatalog } from './fake-catalog.ts'
import { MemoryDisk } from './memory-disk.ts'

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: Record<string, unknown>
  readonly message: string
}

export function recordingLogger(lines: LogLine[]): Logger {
  const at = (level: LogLine['level']) => (fields: Record<string, unknown>, message: string) =>
    void lines.push({ level, fields, message })
  const logger: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => logger,
  }
  return logger
}

export const service = (id: string, more: Partial<LocalServiceDefinition> = {}): LocalServiceDefinition => ({
  id,
  service: id === '' ? 'web' : id,
  kind: '',
  tags: [],
  address: '',
  taggedAddresses: null,
  meta: null,
  port: 80,
  socketPath: '',
  weights: { passing: 1, warning: 1 },
  enableTagOverride: false,
  proxy: null,
  connect: null,
  checks: [],
  ...more,
})

const check = (checkId: string): LocalCheckDefinition => ({
  checkId,
  name: checkId,
  notes: '',
  serviceId: '',
  status: 'critical',
  intervalMs: 0,
  timeoutMs: 0,
  successBeforePassing: 1,
  failuresBeforeCritical: 1,
  deregisterCriticalServiceAfterMs: 0,
  outputMaxBytes: 4096,
  type: 'ttl',
  interval: '',
  timeout: '',
  definition: {},
})

export const ttl = (checkId: string, more: Partial<LocalCheckDefinition> = {}): LocalCheckDefinition => ({
  ...check(checkId),
  ttlMs: 10_000,
  ...more,
})

export const http = (checkId: string, more: Partial<LocalCheckDefinition> = {}): LocalCheckDefinition => ({
  ...check(checkId),
  http: {
    url: `http://backend.test/${checkId}`,
    method: 'GET',
    headers: {},
    body: '',
    tlsSkipVerify: false,
    tlsServerName: '',
  },
  intervalMs: 10_000,
  type: 'http',
  interval: '10s',
  ...more,
})

/** What HTTP checks are answered: a status code, or never. */
export class Backends {
  readonly codes = new Map<string, number | 'hang'>()
  running = 0
  most = 0
  asked = 0

  readonly probe: HttpProbe = async ({ url, signal }) => {
    const code = this.codes.get(new URL(url).pathname.slice(1)) ?? 200
    this.asked++
    this.most = Math.max(this.most, ++this.running)
    try {
      if (code === 'hang')
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      await Promise.resolve()
      const body = new TextEncoder().encode(`asked ${this.asked} times`)
      return { status: Number(code), statusText: 'Whatever', location: undefined, body }
    } finally {
      this.running--
    }
  }
}

export interface World {
  readonly clock: VirtualClock
  readonly catalog: FakeCatalog
  readonly disk: MemoryDisk
  readonly backends: Backends
  readonly log: LogLine[]
  agent: LocalAgent
  /** Another agent on the same disk and catalog. */
  restart(more?: Partial<AgentOptions>): Promise<void>
  /** Resolves as `promise` does, letting time go on meanwhile. */
  run<T>(promise: Promise<T>, ms?: number): Promise<T>
}

export const FOLDER = 'data/agent'
const refused = () => Promise.reject(new Error('nothing listens'))

/** Of a machine on which only HTTP is answered. */
export const probesOf = (http: HttpProbe): CheckProbes => ({
  http,
  tcp: refused,
  udp: refused,
  http2Ping: refused,
  http2Call: refused,
  command: refused,
  docker: refused,
})

/** An agent in a virtual world, started. */
export async function startWorld(more: Partial<AgentOptions> = {}): Promise<World> {
  const clock = new VirtualClock()
  const catalog = new FakeCatalog()
  const disk = new MemoryDisk()
  const backends = new Backends()
  const log: LogLine[] = []
  const make = (options: Partial<AgentOptions>): LocalAgent =>
    createAgent({
      node: { id: 'n-1', node: 'n1', address: '10.0.0.1', taggedAddresses: null, meta: null },
      clock,
      random: new SeededRandom(1),
      disk,
      logger: recordingLogger(log),
      probes: probesOf(backends.probe),
      readNode: () => Promise.resolve(undefined),
      dataDirectory: FOLDER,
      execute: catalog.execute,
      ...more,
      ...options,
    })
  const world: World = {
    clock,
    catalog,
    disk,
    backends,
    log,
    agent: make({}),
    async restart(options = {}) {
      await world.agent.stop()
      world.agent = make(options)
      await world.agent.start()
      await clock.advance(0)
    },
    async run(promise, ms = 1500) {
      // Settled before it is awaited: time must not stand still meanwhile.
      const settled = promise.then(
        (value) => () => value,
        (error) => () => {
          throw error
        },
      )
      await clock.advance(ms)
      return (await settled)()
    },
  }
  await world.agent.start()
  await clock.advance(0)
  return world
}
