import type { Candidate, Chooser } from './choose.ts'
import type { ExplainedInstance, Explanation } from './mesh.ts'
import type { Routes } from './routes.ts'

/** Every candidate with its distance and health, and why it was or was not chosen. */
export function explain(service: string, datacenter: string, chooser: Chooser, routes: Routes): Explanation {
  const choice = chooser.choose(service, [], false)
  const home = choice.candidates[0]!
  const chosen = choice.to?.datacenter ?? (home.passing > 0 ? datacenter : undefined)
  return {
    service,
    datacenter,
    chosen,
    candidates: chooser.assess(service).map((candidate) => ({
      datacenter: candidate.datacenter,
      own: candidate.remote === undefined,
      distanceMs: candidate.remote === undefined ? 0 : routes.distanceMs(candidate.remote.remote),
      reachable: candidate.remote === undefined || candidate.remote.remote.reachable(),
      ageMs: candidate.remote === undefined ? 0 : Math.round(candidate.remote.remote.ageMs()),
      instances: candidate.instances.length,
      passing: candidate.passing,
      chosen: candidate.datacenter === chosen,
      reason: reasonOf(candidate, chosen),
      entries: entriesOf(candidate),
    })),
  }
}

function reasonOf(candidate: Candidate, chosen: string | undefined): string {
  if (candidate.datacenter === chosen) {
    return candidate.remote === undefined ? candidate.reason : `nearest other datacenter with ${candidate.reason}`
  }
  if (candidate.eligible && chosen !== undefined) return `${candidate.reason}, but ${chosen} comes first`
  return candidate.reason
}

const entriesOf = (candidate: Candidate): readonly ExplainedInstance[] =>
  candidate.instances.map(({ node, service, checks, status }) => ({
    node: node.node,
    serviceId: service.id,
    status,
    failing: checks.filter((check) => check.status !== 'passing').map((check) => check.checkId),
    address: service.address || node.address,
    port: service.port,
  }))
