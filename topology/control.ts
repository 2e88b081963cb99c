/**
 * What another terminal may ask of a running launcher, as data, and what carries it out. `control-server.ts` and
 * `control-client.ts` bring it from one to the other.
 */
import * as z from 'zod'
import type { LinkRow } from './links.ts'
import type { LocalMesh, NodeSnapshot } from './local-mesh.ts'

const name = z.string().min(1).max(128)

export const controlRequest = z.discriminatedUnion('command', [
  z.strictObject({ command: z.literal('status') }),
  z.strictObject({ command: z.literal('cut'), a: name, b: name.optional() }),
  z.strictObject({ command: z.literal('heal'), a: name, b: name.optional() }),
  z.strictObject({ command: z.literal('delay'), a: name, b: name, rttMs: z.number().min(0).max(10_000) }),
  z.strictObject({ command: z.literal('kill'), target: name }),
  z.strictObject({ command: z.literal('kill-etcd'), target: name }),
  z.strictObject({ command: z.literal('stop'), target: name }),
  z.strictObject({ command: z.literal('cont'), target: name }),
  z.strictObject({ command: z.literal('restart'), target: name }),
  z.strictObject({ command: z.literal('stop-service'), datacenter: name, service: name.optional() }),
  z.strictObject({ command: z.literal('start-service'), datacenter: name, service: name.optional() }),
  z.strictObject({ command: z.literal('down') }),
])
export type ControlRequest = z.output<typeof controlRequest>
export type ControlCommand = ControlRequest['command']

export interface ControlAnswer {
  /** For the terminal. */
  readonly text: string
  readonly status?: LauncherStatus
}

export interface LauncherStatus {
  readonly name: string
  /** Name of the mesh that its nodes federate in. */
  readonly mesh: string
  readonly pid: number
  readonly stateDirectory: string
  readonly phase: 'starting' | 'running' | 'stopping'
  readonly nodes: readonly NodeSnapshot[]
  readonly links: readonly LinkRow[]
  readonly services: readonly ServiceSnapshot[]
}

export interface ServiceSnapshot {
  readonly datacenter: string
  readonly service: string
  readonly ports: readonly number[]
  readonly running: boolean
}

export interface Controlled {
  readonly mesh: LocalMesh
  status(): LauncherStatus
  /** Begins to end everything; returns at once. */
  down(): void
}

/** Rejects with LauncherError for what cannot be done. */
export async function carryOut(request: ControlRequest, { mesh, status, down }: Controlled): Promise<ControlAnswer> {
  switch (request.command) {
    case 'status':
      return { text: '', status: status() }
    case 'cut':
      return { text: linkText(await mesh.cut(request.a, request.b)) }
    case 'heal':
      return { text: linkText(await mesh.heal(request.a, request.b)) }
    case 'delay':
      return { text: linkText(await mesh.delay(request.a, request.b, request.rttMs)) }
    case 'kill':
      return { text: `killed (SIGKILL): ${(await mesh.kill(request.target)).join(', ')}` }
    case 'kill-etcd':
      return { text: `killed the etcd (SIGKILL) of: ${(await mesh.killMember(request.target)).join(', ')}` }
    case 'stop':
      return { text: `stopped (SIGSTOP): ${mesh.pause(request.target).join(', ')}` }
    case 'cont':
      return { text: `goes on: ${mesh.resume(request.target).join(', ')}` }
    case 'restart':
      return { text: `restarted and ready: ${(await mesh.restart(request.target)).join(', ')}` }
    case 'stop-service':
      return {
        text: serviceText('stopped', request.datacenter, await mesh.stopService(request.datacenter, request.service)),
      }
    case 'start-service':
      return {
        text: serviceText('started', request.datacenter, await mesh.startService(request.datacenter, request.service)),
      }
    case 'down':
      down()
      return { text: 'stopping' }
  }
}

const linkText = (rows: readonly LinkRow[]): string =>
  rows.map((row) => `${row.between.join(' <-> ')}: ${row.cut ? 'cut' : `${row.rttMs} ms`}`).join('\n')

const serviceText = (what: string, datacenter: string, services: readonly string[]): string =>
  `${what} in ${datacenter}: ${services.join(', ')} (its checks notice within about a second)`

export const servicesOf = (mesh: LocalMesh): ServiceSnapshot[] =>
  mesh.backends.flatMap(({ plan, stopped }) => {
    const names = [...new Set(plan.instances.map((each) => each.service.name))]
    return names.map((service) => ({
      datacenter: plan.datacenter,
      service,
      ports: plan.instances.filter((each) => each.service.name === service).map((each) => each.port),
      running: !stopped.has(service),
    }))
  })
