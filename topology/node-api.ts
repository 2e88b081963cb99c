/** What the launcher asks of a node's HTTP API, and what it makes of the answers. */
import { messageOf } from './errors.ts'
import type { InstancePlan } from './plan.ts'
import { HOST } from './plan.ts'

const TIMEOUT_MS = 2000
const MAX_BODY_CHARACTERS = 4 << 20

export interface NodeAnswer {
  readonly status: number
  readonly headers: Headers
  /** Parsed when it is JSON, else the text. */
  readonly body: unknown
  /** From the request to the whole body. */
  readonly tookMs: number
}

/** Rejects when there is no answer within `timeoutMs`. */
export async function ask(
  url: string,
  options: { method?: string; body?: unknown; timeoutMs?: number } = {},
): Promise<NodeAnswer> {
  const began = performance.now()
  const response = await fetch(url, {
    method: options.method ?? 'GET',
    body: options.body === undefined ? undefined : JSON.stringify(options.body),
    signal: AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS),
  })
  const text = await response.text()
  const tookMs = performance.now() - began
  return { status: response.status, headers: response.headers, body: bodyOf(text), tookMs }
}

function bodyOf(text: string): unknown {
  if (text.length > MAX_BODY_CHARACTERS) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Registers a sample backend at a node's agent. Tries again until `signal` aborts; rejects with the last reason. */
export async function register(
  base: string,
  datacenter: string,
  instance: InstancePlan,
  signal: AbortSignal,
): Promise<void> {
  const body = registrationOf(datacenter, instance)
  for (;;) {
    let problem: string
    try {
      const answer = await ask(`${base}/v1/agent/service/register`, { method: 'PUT', body })
      if (answer.status === 200) return
      problem = `${answer.status}: ${String(answer.body)}`
    } catch (error) {
      problem = messageOf(error)
    }
    if (signal.aborted) throw new Error(`${instance.id} cannot be registered at ${instance.node}: ${problem}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

function registrationOf(datacenter: string, { id, service, port }: InstancePlan): object {
  const zone = String.fromCharCode('a'.charCodeAt(0) + (Number(id.split('-').at(-1)) - 1))
  const address = { Address: HOST, Port: port }
  return {
    ID: id,
    Name: service.name,
    Tags: service.tags,
    Meta: { ...service.meta, zone: `${datacenter}${zone}` },
    Address: HOST,
    Port: port,
    TaggedAddresses: { lan: address, wan: address },
    Check: {
      CheckID: `${id}-http`,
      Name: `${service.name} answers /health`,
      HTTP: `http://${HOST}:${port}/health`,
      Interval: `${service.checkIntervalMs}ms`,
      Timeout: '1s',
    },
  }
}

/** Passing instances of a service in a datacenter, as a node sees it; undefined when it does not answer. */
export async function passingCount(base: string, service: string, datacenter: string): Promise<number | undefined> {
  try {
    const answer = await ask(`${base}/v1/health/service/${service}?dc=${datacenter}&passing`)
    return answer.status === 200 && Array.isArray(answer.body) ? answer.body.length : undefined
  } catch {
    return undefined
  }
}

/** One row of `/v1/mesh`, as far as the launcher shows it. */
export interface SeenDatacenter {
  readonly datacenter: string
  readonly state: string
  readonly reachable: boolean
  /** `direct`, `relayed` through the datacenter `via`, or `none`. */
  readonly way: string
  readonly via: string | undefined
  readonly roundTripMs: number | undefined
  readonly ageMs: number | undefined
  /** What the replica took in since the node began. */
  readonly deltas: number | undefined
  readonly snapshots: number | undefined
  readonly repairs: number | undefined
}

/** What a node sees of the mesh; undefined when it does not answer. */
export async function meshSeenBy(base: string): Promise<SeenDatacenter[] | undefined> {
  try {
    const answer = await ask(`${base}/v1/mesh`)
    if (answer.status !== 200) return undefined
    const { Datacenters } = answer.body as { Datacenters?: unknown }
    if (!Array.isArray(Datacenters)) return undefined
    return Datacenters.map(seenOf)
  } catch {
    return undefined
  }
}

function seenOf(row: Record<string, unknown>): SeenDatacenter {
  const replica = (row.Replica ?? {}) as Record<string, unknown>
  const via = (row.Via ?? {}) as Record<string, unknown>
  return {
    datacenter: String(row.Datacenter),
    state: String(row.State),
    reachable: row.Reachable === true,
    way: String(row.Way),
    via: typeof via.Datacenter === 'string' ? via.Datacenter : undefined,
    roundTripMs: numberIn(row, 'RoundTripMs'),
    ageMs: numberIn(replica, 'AgeMs'),
    deltas: numberIn(replica, 'Deltas'),
    snapshots: numberIn(replica, 'Snapshots'),
    repairs: numberIn(replica, 'Repairs'),
  }
}

function numberIn(record: Record<string, unknown>, field: string): number | undefined {
  const value = record[field]
  return typeof value === 'number' ? value : undefined
}
