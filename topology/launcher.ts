/** A running mesh under control: what `up` starts, what other terminals command, and how it all ends. */
import { mkdir, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type ControlRequest, carryOut, type LauncherStatus, servicesOf } from './control.ts'
import { clearStale } from './control-client.ts'
import { type ControlServer, serveControl } from './control-server.ts'
import { LauncherError } from './errors.ts'
import { requireFree } from './free-ports.ts'
import { LocalMesh, type LocalMeshOptions } from './local-mesh.ts'
import { register } from './node-api.ts'
import { observe, type Progress, progressOf } from './observe.ts'
import { planMesh } from './plan.ts'
import type { Seen } from './report.ts'
import { PROJECT_ROOT } from './runtimes.ts'
import type { Topology } from './schema.ts'
import { directoriesOf, removeControlFile, writeControlFile } from './state-directory.ts'
import type { Worker } from './worker.ts'

export interface LauncherOptions {
  readonly topology: Topology
  readonly keepData: boolean
  readonly command?: LocalMeshOptions['command']
  onState?(worker: Worker, detail?: string): void
  /** After a command from another terminal was carried out. */
  onCommand?(request: ControlRequest, text: string): void
  /** Another terminal asks for the end. */
  onDown?(): void
}

const REGISTER_MS = 15_000
const TOGETHER_MS = 20_000
/** Round-trip times are given so long to come down to what they are. */
const SETTLE_MS = 4000
const POLL_MS = 150

export class Launcher {
  readonly mesh: LocalMesh
  readonly #options: LauncherOptions
  readonly #directories: ReturnType<typeof directoriesOf>
  #control: ControlServer | undefined
  #phase: LauncherStatus['phase'] = 'starting'
  #stopped: Promise<void> | undefined

  constructor(options: LauncherOptions) {
    this.#options = options
    const { topology } = options
    this.#directories = directoriesOf(topology.name)
    const dataDirectory =
      topology.dataDirectory === undefined ? this.#directories.data : resolve(PROJECT_ROOT, topology.dataDirectory)
    const plan = planMesh(topology, { dataDirectory })
    this.mesh = new LocalMesh(plan, {
      logDirectory: this.#directories.logs,
      keepData: options.keepData,
      command: options.command,
      onState: (worker, detail) => options.onState?.(worker, detail),
    })
  }

  get logDirectory(): string {
    return this.#directories.logs
  }

  status(): LauncherStatus {
    return {
      name: this.#options.topology.name,
      mesh: this.#options.topology.mesh,
      pid: process.pid,
      stateDirectory: this.#directories.root,
      phase: this.#phase,
      nodes: this.mesh.snapshot(),
      links: this.mesh.links.rows(),
      services: servicesOf(this.mesh),
    }
  }

  /** Claims the name, checks the ports, then starts every process. Rejects with LauncherError; `stop` cleans up. */
  async start(): Promise<void> {
    const { name } = this.#options.topology
    await clearStale(name)
    await requireFree(this.mesh.plan)
    await mkdir(this.#directories.root, { recursive: true })
    if (!this.#options.keepData) await rm(this.#directories.logs, { recursive: true, force: true })
    await this.#openControl()
    await this.mesh.start()
  }

  /** Registers the sample services with the agents of their nodes. */
  async registerServices(): Promise<void> {
    const signal = AbortSignal.timeout(REGISTER_MS)
    await Promise.all(
      this.mesh.backends.flatMap(({ plan }) =>
        plan.instances.map((each) => register(this.mesh.url(each.node), plan.datacenter, each, signal)),
      ),
    )
  }

  /** Waits until all datacenters know of each other and every instance passes, or too long; `true` when it is so. */
  async comeTogether(onProgress: (progress: Progress) => void): Promise<{ complete: boolean; seen: Seen }> {
    const deadline = performance.now() + TOGETHER_MS
    let completeAt: number | undefined
    for (;;) {
      const status = this.status()
      const seen = await observe(status)
      const progress = progressOf(status, seen)
      onProgress(progress)
      const complete = progress.links === progress.allLinks && progress.passing === progress.instances
      completeAt ??= complete ? performance.now() : undefined
      const settled = progress.settled === progress.allLinks || performance.now() - (completeAt ?? Infinity) > SETTLE_MS
      if ((complete && settled) || performance.now() > deadline || this.#stopped !== undefined) {
        if (this.#stopped === undefined) this.#phase = 'running'
        return { complete, seen }
      }
      await new Promise((wake) => setTimeout(wake, POLL_MS))
    }
  }

  /** Ends every process, in an orderly way. Idempotent. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    this.#phase = 'stopping'
    await this.mesh.stop()
    if (this.#control === undefined) return
    await this.#control.close()
    await removeControlFile(this.#directories.control)
  }

  async #openControl(): Promise<void> {
    const control = await serveControl(async (request) => {
      const answer = await carryOut(request, {
        mesh: this.mesh,
        status: () => this.status(),
        down: () => this.#options.onDown?.(),
      })
      this.#options.onCommand?.(request, answer.text)
      return answer
    })
    const { name } = this.#options.topology
    const content = { name, pid: process.pid, port: control.port, token: control.token }
    if (await writeControlFile(this.#directories.control, content)) {
      this.#control = control
      return
    }
    await control.close()
    throw new LauncherError(`another launcher of "${name}" started at the same moment`)
  }
}
