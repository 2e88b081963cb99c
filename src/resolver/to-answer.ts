/** What an evaluation is as an answer: where it came from, and how old it may be. */
import type { Federation } from '../federation/federation.ts'
import type { Evaluation } from './cells.ts'
import type { Answer, Consistency } from './mesh.ts'

export type ToAnswer = (evaluation: Evaluation) => Answer<unknown>

/**
 * For one question. Of this DC's own entries it gives the same answer for as long as the evaluation is the same, so that
 * a face sees by one comparison that nothing changed; those of replicas have an age, which does.
 */
export function toAnswers(own: string, consistency: Consistency, federation: Pick<Federation, 'remote'>): ToAnswer {
  let last: Evaluation | undefined
  let answer: Answer<unknown> | undefined
  return (evaluation) => {
    if (evaluation.datacenter !== own) return fromReplica(evaluation, federation)
    if (evaluation !== last || answer === undefined) {
      last = evaluation
      answer = fromCatalog(evaluation, consistency)
    }
    return answer
  }
}

function fromCatalog({ value, index, datacenter, failover }: Evaluation, consistency: Consistency): Answer<unknown> {
  const shown = consistency === 'default' ? 'leader' : consistency
  return { value, index, datacenter, failover, source: 'catalog', ageMs: 0, knownLeader: true, consistency: shown }
}

function fromReplica(evaluation: Evaluation, federation: Pick<Federation, 'remote'>): Answer<unknown> {
  const { value, index, datacenter, failover } = evaluation
  const remote = federation.remote(datacenter)
  return {
    value,
    index,
    datacenter,
    failover,
    source: 'replica',
    ageMs: remote?.ageMs() ?? Number.POSITIVE_INFINITY,
    knownLeader: remote?.state === 'live',
    consistency: 'stale',
  }
}
