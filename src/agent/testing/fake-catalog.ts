import type { CheckEntry, NodeEntry, ServiceEntry } from '../../model/entries.ts'
import { AtollError } from '../../model/errors.ts'
import { type AgentSync, MAX_SYNC_ITEMS } from '../../model/sync.ts'
import type { AgentCommand, ExecuteAgentCommand } from '../options.ts'

/** Removals that fit into one command: small, so that tests meet the limit. */
const REMOVALS_PER_COMMAND = 10

/** A catalog of one node, as AgentSync describes it, that keeps what it was sent. */
export class FakeCatalog {
  node: NodeEntry | undefined
  readonly services = new Map<string, ServiceEntry>()
  readonly checks = new Map<string, CheckEntry>()
  readonly commands: AgentCommand[] = []
  /** Called before a command is applied; may throw, or wait. */
  before: (command: AgentCommand) => void | Promise<void> = () => {}
  /** Called after a command was applied, before the answer; may throw, or wait. */
  after: (command: AgentCommand) => void | Promise<void> = () => {}
  inFlight = 0

  readonly execute: ExecuteAgentCommand = async (command) => {
    this.commands.push(command)
    this.inFlight++
    try {
      await this.before(command)
      const more = this.apply(command)
      await this.after(command)
      return { more }
    } finally {
      this.inFlight--
    }
  }

  get syncs(): AgentSync[] {
    return this.commands.filter((command) => command.kind === 'agent-sync')
  }

  apply(command: AgentCommand): boolean {
    if (command.kind === 'deregister') {
      this.node = undefined
      this.services.clear()
      this.checks.clear()
      return false
    }
    assertBounded(command)
    this.node = command.node
    for (const service of command.services) this.services.set(service.id.toLowerCase(), service)
    for (const check of command.checks) {
      if (check.serviceId !== '' && !this.services.has(check.serviceId.toLowerCase())) {
        throw new AtollError('invalid', `check ${check.checkId}: no service ${check.serviceId}`)
      }
      this.checks.set(check.checkId.toLowerCase(), check)
    }
    for (const id of command.removeServices) this.#removeService(id.toLowerCase())
    for (const id of command.removeChecks) {
      if (this.checks.get(id.toLowerCase())?.owner === 'agent') this.checks.delete(id.toLowerCase())
    }
    return command.complete && this.#removeForgotten(command)
  }

  #removeService(key: string): void {
    if (this.services.get(key)?.owner !== 'agent') return
    this.services.delete(key)
    for (const [id, check] of this.checks) if (check.serviceId.toLowerCase() === key) this.checks.delete(id)
  }

  #removeForgotten(command: AgentSync): boolean {
    const services = keySet(
      command.services.map(({ id }) => id),
      command.keepServices,
    )
    const checks = keySet(
      command.checks.map(({ checkId }) => checkId),
      command.keepChecks,
    )
    let removed = 0
    for (const [key, service] of this.services) {
      if (service.owner !== 'agent' || services.has(key)) continue
      if (removed++ === REMOVALS_PER_COMMAND) return true
      this.#removeService(key)
    }
    for (const [key, check] of this.checks) {
      if (check.owner !== 'agent' || checks.has(key)) continue
      if (removed++ === REMOVALS_PER_COMMAND) return true
      this.checks.delete(key)
    }
    return false
  }
}

const keySet = (ids: readonly string[], more: readonly string[] = []): Set<string> =>
  new Set([...ids, ...more].map((id) => id.toLowerCase()))

function assertBounded(command: AgentSync): void {
  const items =
    command.services.length + command.checks.length + command.removeServices.length + command.removeChecks.length
  // The node's own check comes on top.
  if (items > MAX_SYNC_ITEMS + 1) throw new AtollError('too-large', `${items} items in one command`)
}
