/** Ports: whether those of a plan are free, and free ones for tests. */
import { createServer } from 'node:net'
import { LauncherError } from './errors.ts'
import { HOST, type MeshPlan, type PortField, type PortSource, planMesh, portsInPlan } from './plan.ts'
import type { Topology } from './schema.ts'

const FLAG: Record<PortField, string> = {
  http: '--http-port',
  libp2p: '--libp2p-port',
  dns: '--dns-port',
  services: '--service-port',
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: HOST, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** Rejects with LauncherError when something of the plan cannot listen: which port, for what, and how to move it. */
export async function requireFree(plan: MeshPlan): Promise<void> {
  const all = portsInPlan(plan)
  const free = await Promise.all(all.map(({ port }) => isFree(port)))
  const taken = all.filter((_, index) => !free[index])
  if (taken.length === 0) return
  const fields = [...new Set(taken.map((each) => each.field))]
  const lines = taken.map(({ port, what }) => `port ${port} (${what}) is in use`)
  const advice = fields.map((field) => `${FLAG[field]} PORT (or "ports.${field}" in the file)`).join(', ')
  throw new LauncherError(`${lines.join('\n')}\nend what listens there, or begin elsewhere with ${advice}`)
}

/** Below the range from which systems take ports for outgoing connections, which would come in between. */
const FIRST = 12_000
const LAST = 32_000

/** Free ports, none given out twice by this process. */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = []
  for (let tries = 0; found.length < count; tries++) {
    if (tries > 50 * (count + 10)) throw new LauncherError(`found no ${count} free ports between ${FIRST} and ${LAST}`)
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST))
    if (givenOut.has(port) || !(await isFree(port))) continue
    givenOut.add(port)
    found.push(port)
  }
  return found
}
const givenOut = new Set<number>()

/** First of `size` free ports in a row. */
export async function freeBlock(size: number): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const first = FIRST + Math.floor(Math.random() * (LAST - FIRST - size))
    const block = Array.from({ length: size }, (_, index) => first + index)
    if (block.some((port) => givenOut.has(port))) continue
    if (!(await Promise.all(block.map(isFree))).every(Boolean)) continue
    for (const port of block) givenOut.add(port)
    return first
  }
  throw new LauncherError(`found no ${size} free ports in a row between ${FIRST} and ${LAST}`)
}

/** How many a description takes, whichever they are. */
export function portsNeeded(topology: Topology): number {
  const numbered = portSource(Array.from({ length: LAST }, (_, index) => index + 1))
  return portsInPlan(planMesh(topology, { dataDirectory: '', ports: numbered })).length
}

/** For `planMesh`: gives out `ports` whatever they are for. */
export function portSource(ports: readonly number[]): PortSource {
  let next = 0
  const take = (): number => {
    const port = ports[next++]
    if (port === undefined) throw new LauncherError(`the plan needs more than ${ports.length} ports`)
    return port
  }
  return { http: take, libp2p: take, dns: take, services: (count) => Array.from({ length: count }, take) }
}
