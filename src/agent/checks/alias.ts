/** Alias checks: as healthy as another service or node. */
import type { Status } from '../../model/entries.ts'
import type { LocalCheckDefinition } from '../../model/local.ts'
import type { Outcome } from './outcome.ts'

export type AliasTarget = NonNullable<LocalCheckDefinition['alias']>

export interface AliasedCheck {
  readonly checkId: string
  readonly name: string
  readonly status: Status
  readonly output: string
  /** '' for one of the node. */
  readonly serviceId: string
}

/** What is known of a node: undefined when it is not in the catalog. */
export interface AliasedNode {
  readonly checks: Iterable<AliasedCheck>
  readonly hasService: (id: string) => boolean
}

/** The worst of the node's own checks and those of the service. `self`: the check that asks, which does not count. */
export function aliasOutcome(target: AliasTarget, node: AliasedNode | undefined, self: string): Outcome {
  const on = target.node === '' ? 'this node' : `node ${target.node}`
  if (node === undefined) return { status: 'critical', output: `Node ${target.node} could not be found` }
  if (target.serviceId !== '' && !node.hasService(target.serviceId)) {
    return { status: 'critical', output: `Service ${target.serviceId} could not be found on ${on}` }
  }
  const wanted = target.serviceId.toLowerCase()
  let any = false
  let worst: AliasedCheck | undefined
  for (const check of node.checks) {
    if (check.checkId.toLowerCase() === self.toLowerCase()) continue
    if (check.serviceId !== '' && check.serviceId.toLowerCase() !== wanted) continue
    any = true
    if (check.status !== 'passing' && saysMore(check, worst)) worst = check
  }
  if (worst === undefined) return { status: 'passing', output: any ? 'All checks passing.' : 'No checks found.' }
  return { status: worst.status, output: `Aliased check ${JSON.stringify(worst.name)} failing: ${worst.output}` }
}

/** Critical before warning, and of two alike the first that gives a reason. */
function saysMore(check: AliasedCheck, than: AliasedCheck | undefined): boolean {
  if (than === undefined) return true
  if (check.status !== than.status) return check.status === 'critical'
  return than.output === '' && check.output !== ''
}
