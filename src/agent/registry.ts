import type { Status } from '../model/entries.ts'
import type { LocalCheckDefinition, LocalServiceDefinition } from '../model/local.ts'

/** Ids match in any case, as they do in the catalog. */
export const idKey = (id: string): string => id.toLowerCase()

/** A check with what is known of its health. */
export interface CheckState {
  readonly definition: LocalCheckDefinition
  /** Of its service when the check was registered, as the agent's API shows it; '' and empty for one of the node. */
  readonly serviceName: string
  readonly serviceTags: readonly string[]
  status: Status
  output: string
  /** The output that the catalog shows: lags behind while a change of the output alone is deferred. */
  catalogOutput: string
  /** Monotonic time at which the check turned critical; undefined otherwise. */
  criticalSinceMs: number | undefined
  /** Wall-clock time up to which the status of a TTL check holds; undefined for other kinds and before an update. */
  validUntilWallMs: number | undefined
}

/** What is registered with this agent, in memory. Services carry no checks of their own here: `checksOf` has them. */
export class Registry {
  readonly #services = new Map<string, LocalServiceDefinition>()
  readonly #checks = new Map<string, CheckState>()
  /** Keys of checks by key of their service. */
  readonly #byService = new Map<string, Set<string>>()

  service(id: string): LocalServiceDefinition | undefined {
    return this.#services.get(idKey(id))
  }

  check(id: string): CheckState | undefined {
    return this.#checks.get(idKey(id))
  }

  services(): Iterable<LocalServiceDefinition> {
    return this.#services.values()
  }

  checks(): Iterable<CheckState> {
    return this.#checks.values()
  }

  /** Checks of one service, in the order of their registration. */
  checksOf(serviceId: string): CheckState[] {
    const found: CheckState[] = []
    for (const key of this.#byService.get(idKey(serviceId)) ?? []) found.push(this.#checks.get(key)!)
    return found
  }

  get serviceCount(): number {
    return this.#services.size
  }

  get checkCount(): number {
    return this.#checks.size
  }

  putService(service: LocalServiceDefinition): void {
    this.#services.set(idKey(service.id), service)
  }

  /** Its checks stay: the caller removes them first. */
  removeService(id: string): void {
    this.#services.delete(idKey(id))
  }

  putCheck(check: CheckState): void {
    const key = idKey(check.definition.checkId)
    const before = this.#checks.get(key)
    if (before && idKey(before.definition.serviceId) !== idKey(check.definition.serviceId)) this.#unlink(key, before)
    this.#checks.set(key, check)
    if (check.definition.serviceId === '') return
    const service = idKey(check.definition.serviceId)
    const keys = this.#byService.get(service)
    if (keys) keys.add(key)
    else this.#byService.set(service, new Set([key]))
  }

  removeCheck(id: string): void {
    const key = idKey(id)
    const check = this.#checks.get(key)
    if (!check) return
    this.#checks.delete(key)
    this.#unlink(key, check)
  }

  #unlink(key: string, check: CheckState): void {
    const service = idKey(check.definition.serviceId)
    const keys = this.#byService.get(service)
    keys?.delete(key)
    if (keys?.size === 0) this.#byService.delete(service)
  }
}
