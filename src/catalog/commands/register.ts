import { type CheckEntry, type NodeEntry, SERF_HEALTH } from '../../model/entries.ts'
import { AtollError } from '../../model/errors.ts'
import { keyPart } from '../../model/keys.ts'
import type { AgentSync, Command } from '../catalog.ts'
import type { Tables } from '../tables.ts'
import { Draft } from './draft.ts'
import { type Claim, claim } from './identity.ts'
import type { Plan } from './plan.ts'
import { settle } from './settle.ts'

type Register = Extract<Command, { kind: 'register' }>

export function planRegister(tables: Tables, command: Register): Plan {
  const draft = Draft.of(tables, command.node.node)
  const stored = draft.state?.row
  let claimed: Claim = { renamed: undefined, if: [] }
  if (!stored || !command.keepNode) {
    const entry = stored ? keepingAgent(stored, command.node) : command.node
    claimed = claim(tables, entry)
    draft.putNode(entry)
  }
  for (const service of command.services) draft.putService(service)
  for (const check of command.checks) {
    if (check.node !== '' && keyPart(check.node) !== draft.part) {
      throw new AtollError(
        'invalid',
        `check node ${JSON.stringify(check.node)} does not match node ${JSON.stringify(command.node.node)}`,
        { field: 'Check.Node' },
      )
    }
    draft.putCheck(check)
  }
  return settle(tables, [...renaming(tables, claimed), draft], { if: claimed.if })
}

/** The catalog API may change an agent's node until the agent's next sync, but does not make it nobody's. */
export function keepingAgent(stored: NodeEntry, wanted: NodeEntry): NodeEntry {
  const same = wanted.id === '' || wanted.id.toLowerCase() === stored.id.toLowerCase()
  return stored.owner === 'agent' && same ? { ...wanted, id: stored.id, owner: 'agent' } : wanted
}

function renaming(tables: Tables, { renamed }: Claim): Draft[] {
  if (renamed === undefined) return []
  const former = Draft.of(tables, renamed)
  former.removeAll()
  return [former]
}

export function planAgentSync(tables: Tables, command: AgentSync): Plan {
  const claimed = claim(tables, command.node)
  const draft = Draft.of(tables, command.node.node)
  draft.putNode({ ...command.node, owner: 'agent' })
  for (const service of command.services) draft.putService({ ...service, owner: 'agent' })
  for (const check of command.checks) {
    if (keyPart(check.checkId) !== SERF_PART) draft.putCheck({ ...check, owner: 'agent' })
  }
  if (!draft.check(SERF_PART)) draft.putCheck(alive(command.node.node))
  for (const id of command.removeChecks) removeOwnCheck(draft, keyPart(id))
  for (const id of command.removeServices) removeOwnService(draft, keyPart(id))
  if (command.complete) removeUnlisted(draft, command)
  return settle(tables, [...renaming(tables, claimed), draft], { if: claimed.if })
}

const SERF_PART = keyPart(SERF_HEALTH)

function removeOwnCheck(draft: Draft, part: string): void {
  if (part !== SERF_PART && draft.check(part)?.owner === 'agent') draft.removeCheck(part)
}

function removeOwnService(draft: Draft, part: string): void {
  if (draft.service(part)?.owner === 'agent') draft.removeService(part)
}

function removeUnlisted(draft: Draft, command: AgentSync): void {
  const parts = (ids: readonly string[]): Set<string> => new Set(ids.map(keyPart))
  const services = parts([
    ...command.services.map((entry) => entry.id || entry.service),
    ...(command.keepServices ?? []),
  ])
  const checks = parts([...command.checks.map((entry) => entry.checkId || entry.name), ...(command.keepChecks ?? [])])
  for (const part of draft.state?.checks.keys() ?? []) if (!checks.has(part)) removeOwnCheck(draft, part)
  for (const part of draft.state?.services.keys() ?? []) if (!services.has(part)) removeOwnService(draft, part)
}

export const ALIVE_OUTPUT = 'Agent alive and reachable'
export const NOT_LIVE_OUTPUT = 'Agent not live or unreachable'

/** The check that stands for the agent itself. Its status is the leader's to judge. */
const alive = (node: string): CheckEntry => ({
  node,
  checkId: SERF_HEALTH,
  name: 'Serf Health Status',
  status: 'passing',
  notes: '',
  output: ALIVE_OUTPUT,
  serviceId: '',
  serviceName: '',
  serviceTags: [],
  type: '',
  interval: '',
  timeout: '',
  exposedPort: 0,
  definition: {},
  owner: 'agent',
})
