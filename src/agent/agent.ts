/** What a node knows of its own workloads: registrations and checks, kept on disk, run, and synced to the catalog. */
import type { Status } from '../model/entries.ts'
import { AtollError, isAtollError, messageOf } from '../model/errors.ts'
import type { LocalCheck, LocalCheckDefinition, LocalServiceDefinition } from '../model/local.ts'
import { Checks } from './checks/checks.ts'
import { DEFAULT_OUTPUT_BYTES, type Outcome, truncateOutput } from './checks/outcome.ts'
import type { Item } from './chunk.ts'
import { withDeadline } from './deadline.ts'
import { nodeEntry } from './entries.ts'
import { type FileDefinitions, filePlans, NO_DEFINITIONS } from './file-definitions.ts'
import { Health } from './health.ts'
import { Loads } from './loads.ts'
import { type AgentLimits, type AgentNode, type AgentOptions, DEFAULT_AGENT_LIMITS } from './options.ts'
import { FolderPersistence, inMemory, type Persistence } from './persistence.ts'
import {
  type Plan,
  planCheck,
  planDeregisterCheck,
  planDeregisterService,
  planMaintenance,
  planService,
} from './registration.ts'
import { Registry } from './registry.ts'
import { restore } from './restore.ts'
import { aliasedNode, syncSource } from './source.ts'
import { StatusFile } from './status-file.ts'
import { Sync, type SyncStatus } from './sync.ts'
import { unitsAfter } from './units.ts'
import { assertAcceptable, scriptRefusal } from './validate.ts'

export type { AgentCommand, AgentLimits, AgentNode, AgentOptions, ExecuteAgentCommand } from './options.ts'
export type { SyncStatus } from './sync.ts'

/** The local part of what a node's faces ask (`AgentDoor`), and what the node's composition needs besides. */
export interface LocalAgent {
  /**
   * Loads what was kept, adds what files define, runs the checks and begins to sync. Rejects with 'unavailable' when
   * the folder cannot be read, and with 'invalid' and others for definitions, as a registration does.
   */
  start(definitions?: FileDefinitions): Promise<void>
  /**
   * Files define this now: registers what is new or has changed, deregisters what they defined before, and leaves the
   * rest alone. Rejects as a registration does; what came before the culprit is done then, and may be done again.
   */
  applyDefinitions(definitions: FileDefinitions): Promise<void>

  services(): readonly LocalServiceDefinition[]
  service(id: string): LocalServiceDefinition | undefined
  checks(): readonly LocalCheck[]
  /**
   * Kept on disk, then sent to the catalog; resolves when it is there, or after about a second when no server answers
   * (it follows later). Rejects with 'invalid', 'too-large', 'overloaded' or 'unavailable' (the disk) and then changed
   * nothing; with 'conflict' (or what else the catalog refuses it with) it stays registered here and is tried again.
   */
  registerService(definition: LocalServiceDefinition, options: { replaceExistingChecks: boolean }): Promise<void>
  /** 'not-found' for an unknown id. */
  deregisterService(id: string): Promise<void>
  /** 'invalid' when its service is not registered here. */
  registerCheck(definition: LocalCheckDefinition): Promise<void>
  /** No error for an unknown one. */
  deregisterCheck(checkId: string): Promise<void>
  /** `load`: how busy its service is, from 0 to 1. 'not-found' for an unknown check, 'invalid' when it has no TTL. */
  updateTtl(checkId: string, status: Status, output: string, load?: number): Promise<void>
  /**
   * How busy a service says that it is, from 0 to 1. The catalog shows what matters of it, a little later; it is forgotten
   * after five minutes. Throws 'invalid', or 'not-found' for an unknown id.
   */
  reportLoad(serviceId: string, load: number): void
  /** 'not-found' for an unknown id. */
  setServiceMaintenance(id: string, enable: boolean, reason: string): Promise<void>
  setNodeMaintenance(enable: boolean, reason: string): Promise<void>

  /** A full sync now: call it when the servers were lost and found, or restarted. */
  resync(): void
  /** The node's address, tagged addresses or meta have changed. */
  updateNode(node: AgentNode): void
  syncStatus(): SyncStatus
  /** Takes this node with all it has out of the catalog and syncs no more: for a node that leaves. What is kept on disk stays. */
  deregisterNode(): Promise<void>
  /** Stops checks and sync, and finishes what is to be kept on disk. Idempotent. */
  stop(): Promise<void>
}

const DEFAULTS = {
  syncIntervalMs: 60_000,
  checkUpdateIntervalMs: 300_000,
  acknowledgeWaitMs: 1000,
  commandTimeoutMs: 10_000,
}

export const createAgent = (options: AgentOptions): LocalAgent => new Agent(options)

class Agent implements LocalAgent {
  readonly #options: AgentOptions
  readonly #limits: AgentLimits
  readonly #persistence: Persistence
  readonly #registry = new Registry()
  readonly #checks: Checks
  readonly #health: Health
  readonly #statusFile: StatusFile
  readonly #loads: Loads
  readonly #sync: Sync
  #node: AgentNode
  /** Changes of registrations are carried out one after another, so that disk and memory agree. */
  #changes: Promise<unknown> = Promise.resolve()
  #pendingChanges = 0
  #state: 'new' | 'started' | 'stopped' = 'new'
  #stopping: Promise<void> | undefined

  constructor(options: AgentOptions) {
    const { clock, random, logger, disk, dataDirectory } = options
    this.#options = options
    this.#node = options.node
    this.#limits = { ...DEFAULT_AGENT_LIMITS, ...options.limits }
    this.#persistence =
      dataDirectory === undefined ? inMemory : new FolderPersistence({ disk, folder: dataDirectory, logger })
    this.#loads = new Loads({ clock, changed: (id) => this.#sync.changed([{ kind: 'service', id }]) })
    this.#checks = new Checks({
      clock,
      random,
      probes: options.probes,
      readNode: options.readNode,
      own: aliasedNode(this.#registry),
      concurrent: this.#limits.concurrentChecks,
      report: (checkId, outcome) => this.#report(checkId, outcome),
      reportLoad: (serviceId, load) => this.#reportLoad(serviceId, load),
    })
    this.#health = new Health({
      clock,
      random,
      updateIntervalMs: options.checkUpdateIntervalMs ?? DEFAULTS.checkUpdateIntervalMs,
      changed: (checkId) => this.#sync.changed([{ kind: 'check', id: checkId }]),
      criticalForTooLong: (check) => this.#reap(check.definition.serviceId, check.definition.checkId),
    })
    this.#statusFile = new StatusFile({
      clock,
      logger,
      persistence: this.#persistence,
      collect: () => this.#health.toKeep(this.#registry.checks()),
    })
    this.#sync = new Sync({
      source: syncSource(() => nodeEntry(this.#node), this.#registry, this.#loads),
      execute: options.execute,
      clock,
      random,
      logger,
      intervalMs: options.syncIntervalMs ?? DEFAULTS.syncIntervalMs,
      acknowledgeWaitMs: options.acknowledgeWaitMs ?? DEFAULTS.acknowledgeWaitMs,
      commandTimeoutMs: options.commandTimeoutMs ?? DEFAULTS.commandTimeoutMs,
    })
  }

  async start(definitions: FileDefinitions = NO_DEFINITIONS): Promise<void> {
    if (this.#state !== 'new') return
    let kept: Awaited<ReturnType<Persistence['load']>>
    try {
      kept = await this.#persistence.load()
    } catch (error) {
      throw new AtollError(
        'unavailable',
        `the agent's folder ${this.#options.dataDirectory} cannot be read (${messageOf(error)}); check its permissions and the disk`,
        { cause: error },
      )
    }
    if (this.#state !== 'new') return
    this.#state = 'started'
    const { clock, logger } = this.#options
    for (const check of restore(this.#registry, kept, clock.wallMs(), logger)) {
      this.#health.begin(check)
      const refused = scriptRefusal(check.definition, this.#options.scripts)
      if (refused === undefined) this.#checks.start(check.definition, { spread: true })
      else logger.warn({ check: check.definition.checkId, reason: refused }, 'a check that was kept is not run')
    }
    this.#checks.ownChanged()
    this.#sync.start()
    // Without waiting for the catalog: at a start there may be none yet.
    void (await this.#planned(definitions))
  }

  async applyDefinitions(definitions: FileDefinitions): Promise<void> {
    const acknowledged = await this.#planned(definitions)
    await Promise.all(acknowledged)
  }

  async #planned(definitions: FileDefinitions): Promise<Promise<void>[]> {
    const acknowledged: Promise<void>[] = []
    const services = definitions.services.map((one) => ({ ...one, checks: one.checks.map(this.#bounded) }))
    for (const plan of filePlans(this.#registry, { services, checks: definitions.checks.map(this.#bounded) })) {
      acknowledged.push((await this.#enqueue(plan)).acknowledged)
    }
    return acknowledged
  }

  services(): readonly LocalServiceDefinition[] {
    return [...this.#registry.services()].map((service) => this.#withChecks(service))
  }

  service(id: string): LocalServiceDefinition | undefined {
    const service = this.#registry.service(id)
    return service && this.#withChecks(service)
  }

  checks(): readonly LocalCheck[] {
    return [...this.#registry.checks()].map(({ definition, status, output, serviceName, serviceTags }) => ({
      definition,
      status,
      output,
      serviceName,
      serviceTags,
    }))
  }

  registerService(definition: LocalServiceDefinition, options: { replaceExistingChecks: boolean }): Promise<void> {
    const { checks } = definition
    return this.#change(() =>
      planService(this.#registry, { ...definition, checks: checks.map(this.#bounded) }, options),
    )
  }

  deregisterService(id: string): Promise<void> {
    return this.#change(() => planDeregisterService(this.#registry, id))
  }

  registerCheck(definition: LocalCheckDefinition): Promise<void> {
    return this.#change(() => planCheck(this.#registry, this.#bounded(definition)))
  }

  deregisterCheck(checkId: string): Promise<void> {
    return this.#change(() => planDeregisterCheck(this.#registry, checkId))
  }

  setServiceMaintenance(id: string, enable: boolean, reason: string): Promise<void> {
    return this.#change(() => planMaintenance(this.#registry, { serviceId: id }, enable, reason))
  }

  setNodeMaintenance(enable: boolean, reason: string): Promise<void> {
    return this.#change(() => planMaintenance(this.#registry, 'node', enable, reason))
  }

  reportLoad(serviceId: string, load: number): void {
    this.#assertStarted()
    if (!(load >= 0 && load <= 1)) {
      throw new AtollError('invalid', 'Load: give a number from 0 (idle) to 1', { field: 'Load' })
    }
    if (!this.#registry.service(serviceId)) {
      throw new AtollError('not-found', `No service registered with ID ${JSON.stringify(serviceId)}`, {
        field: 'ServiceID',
      })
    }
    this.#loads.report(serviceId, load)
  }

  async updateTtl(checkId: string, status: Status, output: string, load?: number): Promise<void> {
    this.#assertStarted()
    const check = this.#registry.check(checkId)
    if (check?.definition.ttlMs === undefined) {
      const message = `CheckID ${JSON.stringify(checkId)} does not have associated TTL`
      throw new AtollError(check ? 'invalid' : 'not-found', message, { field: 'CheckID' })
    }
    const kept = truncateOutput(output, check.definition.outputMaxBytes)
    this.#checks.heard(checkId, kept)
    if (load !== undefined) this.#reportLoad(check.definition.serviceId, load)
    check.validUntilWallMs = this.#options.clock.wallMs() + check.definition.ttlMs
    const turned = this.#health.update(check, { status, output: kept })
    this.#statusFile.changed()
    this.#checks.ownChanged()
    if (turned) await this.#sync.acknowledged([{ kind: 'check', id: checkId }])
  }

  resync(): void {
    this.#sync.resync()
  }

  updateNode(node: AgentNode): void {
    this.#node = node
    this.#sync.resync()
  }

  syncStatus(): SyncStatus {
    return this.#sync.status()
  }

  async deregisterNode(): Promise<void> {
    await this.#sync.pause()
    const { clock, execute, commandTimeoutMs } = this.#options
    await withDeadline(clock, commandTimeoutMs ?? DEFAULTS.commandTimeoutMs, undefined, (signal) =>
      execute({ kind: 'deregister', node: this.#node.node }, { signal }),
    )
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#end()
    return this.#stopping
  }

  async #end(): Promise<void> {
    this.#state = 'stopped'
    this.#checks.stopAll()
    this.#loads.stop()
    this.#health.stop()
    await Promise.all([this.#sync.stop(), this.#changes])
    await this.#statusFile.close()
  }

  /** With this node's bound of outputs where it has none of its own. */
  readonly #bounded = (check: LocalCheckDefinition): LocalCheckDefinition =>
    check.outputMaxBytes > 0
      ? check
      : { ...check, outputMaxBytes: this.#options.outputMaxBytes ?? DEFAULT_OUTPUT_BYTES }

  #withChecks(service: LocalServiceDefinition): LocalServiceDefinition {
    const load = this.#loads.shown(service.id)
    const checks = this.#registry.checksOf(service.id).map(({ definition }) => definition)
    return { ...service, ...(load === undefined ? {} : { load }), checks }
  }

  #assertStarted(): void {
    if (this.#state !== 'started') throw new AtollError('unavailable', 'the agent is not running; try again later')
  }

  /** Plans, keeps on disk, applies, and waits for the catalog. */
  async #change(plan: () => Plan): Promise<void> {
    await (await this.#enqueue(plan)).acknowledged
  }

  async #enqueue(plan: () => Plan): Promise<{ acknowledged: Promise<void> }> {
    this.#assertStarted()
    if (this.#pendingChanges >= this.#limits.pendingChanges) {
      throw new AtollError('overloaded', `${this.#pendingChanges} registrations wait for the disk; try again later`)
    }
    this.#pendingChanges++
    const changed = this.#changes.then(() => this.#carryOut(plan))
    this.#changes = changed.then(
      () => {},
      () => {},
    )
    return await changed.finally(() => this.#pendingChanges--)
  }

  async #carryOut(makePlan: () => Plan): Promise<{ acknowledged: Promise<void> }> {
    this.#assertStarted()
    const plan = makePlan()
    assertAcceptable(this.#registry, plan, this.#limits, this.#options.scripts)
    for (const [key, unit] of unitsAfter(this.#registry, plan)) {
      try {
        await this.#persistence.writeUnit(key, unit)
      } catch (error) {
        throw new AtollError(
          'unavailable',
          `the registration cannot be kept on disk (${messageOf(error)}); free or repair the disk and register again`,
          { cause: error },
        )
      }
    }
    // The agent may have been stopped while the disk was written: it is kept, and that is all.
    if (this.#state !== 'started') return { acknowledged: Promise.resolve() }
    const items = this.#apply(plan)
    this.#sync.changed(items)
    // Asked for in the same breath: the answer may come before whoever waits for it goes on.
    const acknowledged = this.#sync.acknowledged(items)
    acknowledged.catch(() => {})
    return { acknowledged }
  }

  #apply(plan: Plan): readonly Item[] {
    const items: Item[] = []
    if (plan.removeService !== undefined) items.push({ kind: 'service', id: plan.removeService })
    for (const id of plan.removeChecks) {
      this.#checks.stop(id)
      this.#health.end(id)
      this.#registry.removeCheck(id)
      items.push({ kind: 'check', id })
    }
    if (plan.removeService !== undefined) {
      this.#loads.end(plan.removeService)
      this.#registry.removeService(plan.removeService)
    }
    if (plan.service) {
      this.#registry.putService(plan.service)
      items.push({ kind: 'service', id: plan.service.id })
      // Their entries carry the service's name and tags.
      for (const { definition } of this.#registry.checksOf(plan.service.id)) {
        items.push({ kind: 'check', id: definition.checkId })
      }
    }
    for (const definition of plan.checks) {
      this.#putCheck(definition)
      items.push({ kind: 'check', id: definition.checkId })
    }
    if (plan.checks.length + plan.removeChecks.length > 0) this.#statusFile.changed()
    this.#checks.ownChanged()
    return items
  }

  /** One that was registered before keeps its status: it does not flap because it was registered again. */
  #putCheck(definition: LocalCheckDefinition): void {
    const before = this.#registry.check(definition.checkId)
    const service = this.#registry.service(definition.serviceId)
    this.#health.end(definition.checkId)
    const check = {
      definition,
      serviceName: service?.service ?? '',
      serviceTags: service?.tags ?? [],
      status: before?.status ?? definition.status,
      output: before?.output ?? '',
      catalogOutput: before?.output ?? '',
      criticalSinceMs: before?.criticalSinceMs,
      validUntilWallMs: definition.ttlMs === undefined ? undefined : this.#options.clock.wallMs() + definition.ttlMs,
    }
    this.#registry.putCheck(check)
    this.#health.begin(check)
    this.#checks.start(definition, { spread: false })
  }

  #report(checkId: string, outcome: Outcome): void {
    const check = this.#registry.check(checkId)
    if (!check || this.#state !== 'started') return
    const before = check.status
    if (!this.#health.update(check, outcome)) return
    this.#options.logger.debug({ check: checkId, from: before, to: check.status }, 'a check turned')
    this.#statusFile.changed()
    this.#checks.ownChanged()
  }

  /** What a check's answer said on the side. */
  #reportLoad(serviceId: string, load: number): void {
    if (this.#state === 'started' && this.#registry.service(serviceId)) this.#loads.report(serviceId, load)
  }

  #reap(serviceId: string, checkId: string): void {
    const { logger } = this.#options
    logger.warn({ service: serviceId, check: checkId }, 'a service was critical for too long and is deregistered')
    this.deregisterService(serviceId).catch((error) => {
      if (isAtollError(error) && error.code === 'not-found') return
      logger.warn({ service: serviceId, reason: messageOf(error) }, 'could not deregister a critical service')
    })
  }
}
