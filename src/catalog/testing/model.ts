import type { CheckEntry, NodeEntry, ServiceEntry, Status } from '../../model/entries.ts'
import { worstStatus } from '../../model/health.ts'
import type { Command } from '../catalog.ts'

interface ModelNode {
  entry: NodeEntry
  services: Map<string, ServiceEntry>
  checks: Map<string, CheckEntry>
}

/** What commands mean, in the simplest words: no store, no indexes, no concurrency. Knows the commands that the properties draw. */
export class Model {
  readonly nodes = new Map<string, ModelNode>()
  readonly kv = new Map<string, { value: string; flags: bigint }>()

  run(command: Command): void {
    switch (command.kind) {
      case 'register':
        return void this.#register(command)
      case 'deregister':
        return void this.#deregister(command.node, command.serviceId, command.checkId)
      case 'check-status': {
        const checks = this.nodes.get(low(command.node))?.checks
        const check = checks?.get(low(command.checkId))
        if (check) checks!.set(low(command.checkId), { ...check, status: command.status, output: command.output })
        return
      }
      case 'kv-put':
        return void this.kv.set(command.key, { value: new TextDecoder().decode(command.value), flags: command.flags })
      case 'kv-delete':
        for (const key of [...this.kv.keys()]) {
          if (command.recurse ? key.startsWith(command.key) : key === command.key) this.kv.delete(key)
        }
    }
  }

  #register(command: Extract<Command, { kind: 'register' }>): void {
    const name = low(command.node.node)
    const known = this.nodes.get(name)
    const node: ModelNode = {
      entry: known?.entry ?? command.node,
      services: new Map(known?.services),
      checks: new Map(known?.checks),
    }
    if (!command.keepNode && known && !sameNode(known.entry, command.node)) node.entry = command.node
    for (const service of command.services) {
      const stored = node.services.get(low(service.id))
      const wanted = { ...service, node: node.entry.node }
      if (!stored || JSON.stringify({ ...stored, node: '' }) !== JSON.stringify({ ...wanted, node: '' })) {
        node.services.set(low(service.id), wanted)
      }
    }
    for (const check of command.checks) {
      const service = check.serviceId === '' ? undefined : node.services.get(low(check.serviceId))
      if (check.serviceId !== '' && !service) return
      const wanted = {
        ...check,
        node: node.entry.node,
        serviceId: service?.id ?? '',
        serviceName: service?.service ?? '',
        serviceTags: service?.tags ?? [],
      }
      const stored = node.checks.get(low(check.checkId))
      if (!stored || JSON.stringify({ ...stored, node: '' }) !== JSON.stringify({ ...wanted, node: '' })) {
        node.checks.set(low(check.checkId), wanted)
      }
    }
    this.nodes.set(name, node)
  }

  #deregister(name: string, serviceId: string | undefined, checkId: string | undefined): void {
    const node = this.nodes.get(low(name))
    if (!node) return
    if (serviceId) {
      node.services.delete(low(serviceId))
      for (const [id, check] of node.checks) if (low(check.serviceId) === low(serviceId)) node.checks.delete(id)
    } else if (checkId) node.checks.delete(low(checkId))
    else this.nodes.delete(low(name))
  }

  /** Node, id and status of every instance of a service. */
  instances(service: string): [node: string, id: string, status: Status][] {
    const found: [string, string, Status][] = []
    for (const [name, node] of this.nodes) {
      for (const [id, entry] of node.services) {
        if (low(entry.service) !== low(service)) continue
        const checks = [...node.checks.values()].filter((c) => c.serviceId === '' || low(c.serviceId) === id)
        found.push([name, id, worstStatus(checks)])
      }
    }
    return found
  }
}

const low = (name: string): string => name.toLowerCase()

const sameNode = (a: NodeEntry, b: NodeEntry): boolean =>
  a.address === b.address && JSON.stringify(a.meta) === JSON.stringify(b.meta)
