/** A mesh of real processes on this machine, with its WAN: what the launcher's commands and the cluster tests act on. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { LauncherError } from './errors.ts'
import { killMember, memberPid } from './etcd-member.ts'
import { freePorts } from './free-ports.ts'
import { type LinkRow, LinkTable, type LinkView } from './links.ts'
import type { NodeSettings } from './messages.ts'
import { type BackendPlan, HOST, type MeshPlan, type NodePlan } from './plan.ts'
import { commandLine } from './runtimes.ts'
import type { RuntimeName } from './schema.ts'
import { Worker, type WorkerState } from './worker.ts'

export interface LocalMeshOptions {
  /** Log files go here. */
  readonly logDirectory: string
  /** Keeps what the nodes stored in an earlier run. */
  readonly keepData?: boolean
  /** Runs when a node or a backend changed its state; `detail` tells about an end that nobody asked for. */
  readonly onState?: (worker: Worker, detail?: string) => void
  /** Command line of a child, for tests of the launcher itself. */
  readonly command?: (runtime: RuntimeName, script: string, args: readonly string[]) => readonly string[]
}

export interface RunningNode {
  readonly plan: NodePlan
  readonly worker: Worker
}

export interface RunningBackend {
  readonly plan: BackendPlan
  readonly worker: Worker
  /** Services whose backends were stopped. */
  readonly stopped: Set<string>
}

export interface NodeSnapshot {
  readonly name: string
  readonly datacenter: string
  readonly role: string
  /** With its version once it ran. */
  readonly runtime: string
  readonly state: WorkerState
  readonly pid: number | undefined
  readonly readyMs: number
  readonly http: string
  readonly libp2p: string
  /** Port of UDP and TCP. */
  readonly dns: number
  readonly logFile: string
}

export class LocalMesh {
  readonly plan: MeshPlan
  readonly links: LinkTable
  readonly #options: LocalMeshOptions
  readonly #nodes = new Map<string, RunningNode>()
  readonly #backends = new Map<string, RunningBackend>()
  #stopping = false

  constructor(plan: MeshPlan, options: LocalMeshOptions) {
    this.plan = plan
    this.#options = options
    this.links = new LinkTable(plan.topology)
    for (const node of plan.nodes) this.#nodes.set(node.name, this.#member(node))
    for (const backend of plan.backends) {
      const worker = this.#worker(backend.name, backend.runtime, 'topology/backend.ts')
      this.#backends.set(backend.datacenter, { plan: backend, worker, stopped: new Set() })
    }
  }

  get nodes(): readonly RunningNode[] {
    return [...this.#nodes.values()]
  }
  get backends(): readonly RunningBackend[] {
    return [...this.#backends.values()]
  }

  /** Resolves when every process is ready. Rejects with the first failure; `stop` then ends the others. */
  async start(): Promise<void> {
    await mkdir(this.#options.logDirectory, { recursive: true })
    for (const { plan } of this.nodes) {
      if (this.#options.keepData !== true) await rm(plan.dataDirectory, { recursive: true, force: true })
      await mkdir(plan.dataDirectory, { recursive: true })
    }
    // Servers first: on few cores they are then up when the others dial them.
    const order = [...this.nodes].sort((a, b) => Number(a.plan.role === 'client') - Number(b.plan.role === 'client'))
    await Promise.all([
      ...order.map((node) => this.#startNode(node)),
      ...this.backends.map((backend) => this.#startBackend(backend)),
    ])
  }

  /** Ends every process in an orderly way; kills those that take more than four seconds. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all([...this.nodes, ...this.backends].map(({ worker }) => worker.stop()))
  }

  /** SIGKILL for all, at once. */
  abandon(): void {
    this.#stopping = true
    for (const { worker } of [...this.nodes, ...this.backends]) worker.abandon()
  }

  node(name: string): RunningNode {
    const node = this.#nodes.get(name)
    if (node !== undefined) return node
    throw new LauncherError(`no node "${name}" in this mesh; there are ${[...this.#nodes.keys()].join(', ')}`)
  }

  /** Base of a node's HTTP API. */
  url(name: string): string {
    return `http://${HOST}:${this.node(name).plan.httpPort}`
  }

  /** Bytes between the two are silently dropped both ways from now on; with one name, on all links of that datacenter. */
  async cut(a: string, b?: string): Promise<readonly LinkRow[]> {
    return this.#changeLinks(a, b, { cut: true })
  }

  async heal(a: string, b?: string): Promise<readonly LinkRow[]> {
    return this.#changeLinks(a, b, { cut: false })
  }

  async delay(a: string, b: string, rttMs: number): Promise<readonly LinkRow[]> {
    return this.#changeLinks(a, b, { rttMs })
  }

  /** kill -9 of a node, or of all nodes of a datacenter, and of their members of etcd. Returns the names. */
  async kill(target: string): Promise<string[]> {
    const meant = this.#target(target, (node) => node.worker.running, 'runs')
    await Promise.all(
      meant.map(async ({ plan, worker }) => {
        const pid = await this.memberPid(plan.name)
        await worker.kill()
        if (pid !== undefined) killMember(pid)
      }),
    )
    return meant.map((node) => node.plan.name)
  }

  /** kill -9 of the etcd of a server, or of all servers of a datacenter; the servers go on and start it again. Returns their names. */
  async killMember(target: string): Promise<string[]> {
    const running = await Promise.all(this.nodes.map(({ plan }) => this.memberPid(plan.name)))
    const pids = new Map(this.nodes.map((node, index) => [node, running[index]] as const))
    const meant = this.#target(target, (node) => pids.get(node) !== undefined, 'runs a member of etcd')
    for (const node of meant) killMember(pids.get(node)!)
    return meant.map((node) => node.plan.name)
  }

  /** Process of a server's etcd; undefined while none runs, and for nodes without one. */
  async memberPid(name: string): Promise<number | undefined> {
    const { managedServers, dataDirectory } = this.node(name).plan
    return managedServers === undefined ? undefined : memberPid(dataDirectory)
  }

  /** SIGSTOP: it keeps its connections and answers nothing. The member of etcd of a server goes on. */
  pause(target: string): string[] {
    const meant = this.#target(target, (node) => node.worker.state === 'ready', 'is ready')
    for (const { worker } of meant) worker.pause()
    return meant.map((node) => node.plan.name)
  }

  resume(target: string): string[] {
    const meant = this.#target(target, (node) => node.worker.state === 'paused', 'is paused')
    for (const { worker } of meant) worker.resume()
    return meant.map((node) => node.plan.name)
  }

  /** Ends a node in an orderly way if it runs, and starts it on the same ports and data. Resolves when it is ready. */
  async restart(target: string): Promise<string[]> {
    const meant = this.#target(target, () => true, '')
    await Promise.all(
      meant.map(async (node) => {
        await node.worker.stop()
        await this.#startNode(node)
      }),
    )
    return meant.map((node) => node.plan.name)
  }

  /** Closes the sample backends of a datacenter, of one service or all, so that their checks fail. */
  async stopService(datacenter: string, service?: string): Promise<string[]> {
    return this.#switchService(datacenter, service, false)
  }

  async startService(datacenter: string, service?: string): Promise<string[]> {
    return this.#switchService(datacenter, service, true)
  }

  /** Adds a node while the mesh runs; a datacenter that is new gets links at `rttMs` (0 where none is given). */
  async addNode(plan: NodePlan, rttMs: Readonly<Record<string, number>> = {}): Promise<RunningNode> {
    if (this.#nodes.has(plan.name)) throw new LauncherError(`there is a node "${plan.name}" already`)
    if (!this.nodes.some((node) => node.plan.datacenter === plan.datacenter)) this.links.add(plan.datacenter, rttMs)
    const node = this.#member(plan)
    this.#nodes.set(plan.name, node)
    await mkdir(plan.dataDirectory, { recursive: true })
    await this.#publishLinks()
    await this.#startNode(node)
    return node
  }

  snapshot(): NodeSnapshot[] {
    return this.nodes.map(({ plan, worker }) => ({
      name: plan.name,
      datacenter: plan.datacenter,
      role: plan.role,
      runtime: [plan.runtime, worker.ready?.version].filter(Boolean).join(' '),
      state: worker.state,
      pid: worker.pid,
      readyMs: Math.round(worker.readyMs),
      http: `http://${HOST}:${plan.httpPort}`,
      libp2p: fullAddress(worker, plan),
      dns: plan.dnsPort,
      logFile: worker.logFile,
    }))
  }

  #member(plan: NodePlan): RunningNode {
    return { plan, worker: this.#worker(plan.name, plan.runtime, 'topology/child.ts') }
  }

  #worker(name: string, runtime: RuntimeName, script: string): Worker {
    const command = (this.#options.command ?? commandLine)(runtime, script, [name])
    const logFile = join(this.#options.logDirectory, `${name}.log`)
    return new Worker({ name, command, logFile, onState: (worker, detail) => this.#options.onState?.(worker, detail) })
  }

  async #startNode(node: RunningNode): Promise<void> {
    this.#refuseWhenStopping()
    const { plan } = node
    const settings: NodeSettings = {
      name: plan.name,
      datacenter: plan.datacenter,
      role: plan.role,
      mesh: this.plan.topology.mesh,
      runtime: plan.runtime,
      flatNetwork: this.plan.topology.flatNetwork,
      host: HOST,
      httpPort: plan.httpPort,
      libp2pPort: plan.libp2pPort,
      dnsPort: plan.dnsPort,
      dataDirectory: plan.dataDirectory,
      ...(plan.managedServers !== undefined && { managed: await managedOf(plan.managedServers) }),
      join: plan.join,
      logLevel: this.plan.topology.logLevel,
    }
    await node.worker.start({ type: 'start', node: settings, view: this.#view(plan.datacenter) })
  }

  async #startBackend({ plan, worker }: RunningBackend): Promise<void> {
    this.#refuseWhenStopping()
    const instances = plan.instances.map(({ id, service, port }) => ({ id, service: service.name, port }))
    await worker.start({ type: 'start', datacenter: plan.datacenter, host: HOST, instances })
  }

  #refuseWhenStopping(): void {
    if (this.#stopping) throw new LauncherError('the mesh is being stopped')
  }

  #view(datacenter: string): LinkView {
    const ports = Object.fromEntries(this.nodes.map(({ plan }) => [String(plan.libp2pPort), plan.datacenter]))
    return { datacenter, ports, links: this.links.rows() }
  }

  async #changeLinks(a: string, b: string | undefined, patch: Partial<LinkRow>): Promise<readonly LinkRow[]> {
    const changed = this.links.select(a, b).map((row) => this.links.change(row, patch))
    await this.#publishLinks()
    return changed
  }

  async #publishLinks(): Promise<void> {
    await Promise.all(
      this.nodes.map(({ plan, worker }) => {
        const order = { type: 'links', view: this.#view(plan.datacenter) }
        if (worker.state !== 'paused') return worker.ask(order)
        worker.tell(order)
        return undefined
      }),
    )
  }

  #target(target: string, fits: (node: RunningNode) => boolean, what: string): RunningNode[] {
    const ofDatacenter = this.nodes.filter((node) => node.plan.datacenter === target)
    const meant = ofDatacenter.length > 0 ? ofDatacenter : [this.node(target)]
    const fitting = meant.filter(fits)
    if (fitting.length > 0) return fitting
    throw new LauncherError(
      `nothing of "${target}" ${what}: ${meant.map((n) => `${n.plan.name} is ${n.worker.state}`).join(', ')}`,
    )
  }

  async #switchService(datacenter: string, service: string | undefined, running: boolean): Promise<string[]> {
    const backend = this.#backends.get(datacenter)
    if (backend === undefined) {
      const there = [...this.#backends.keys()].join(', ') || 'none in this mesh'
      throw new LauncherError(`no sample service runs in "${datacenter}"; datacenters that have some: ${there}`)
    }
    const names = [...new Set(backend.plan.instances.map((instance) => instance.service.name))]
    if (service !== undefined && !names.includes(service)) {
      throw new LauncherError(`no sample service "${service}" in ${datacenter}; there are ${names.join(', ')}`)
    }
    await backend.worker.ask({ type: 'services', service, running })
    const meant = service === undefined ? names : [service]
    for (const name of meant) {
      if (running) backend.stopped.delete(name)
      else backend.stopped.add(name)
    }
    return meant
  }
}

async function managedOf(servers: number): Promise<NodeSettings['managed']> {
  const [clientPort, peerPort] = await freePorts(2)
  return { servers, clientPort: clientPort!, peerPort: peerPort! }
}

/** With the peer id when it is known. */
function fullAddress(worker: Worker, plan: NodePlan): string {
  const port = `/tcp/${plan.libp2pPort}`
  return worker.ready?.addresses.find((address) => address.includes(port)) ?? `/ip4/${HOST}${port}`
}
