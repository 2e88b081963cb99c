/** Answers that may come from several DCs: the plain lookup with failover, `dc=nearest`, and `dc=*`. */
import type { CatalogView } from '../catalog/view.ts'
import type { Instance } from '../model/entries.ts'
import type { Clock } from '../runtime/ports.ts'
import type { Evaluation } from './cells.ts'
import { addressFromAfar, type Candidate, type Chooser } from './choose.ts'
import type { AnswerCounters } from './counters.ts'
import type { Question, RoutedInstance } from './mesh.ts'
import { hasMeta, read, selectInstances, sorted } from './read.ts'
import type { RemoteView, Routes } from './routes.ts'

/** How long an answer that shows ages is good. */
const SHOWN_AGE_MS = 1000
/** Entries of one `dc=*` answer, nearest DCs first. */
export const MAX_ENTRIES_OF_ALL = 10_000

export interface RoutedContext {
  readonly own: CatalogView
  readonly chooser: Chooser
  readonly routes: Routes
  readonly counters: AnswerCounters
  readonly clock: Clock
  readonly flatNetwork: boolean
  readonly agentNode: string
}

/** `changed`: something it depends on is different from the last time, rather than only older. */
export function evaluateRouted(
  question: Question<'service'>,
  nearest: boolean,
  changed: boolean,
  context: RoutedContext,
): Evaluation {
  const { own, chooser, counters } = context
  const choice = chooser.choose(question.service, question.tags, nearest)
  const ownIndex = choice.topics[0]!.index
  const counterKey = question.service.toLowerCase()
  const common = { topics: choice.topics, routed: choice.routed }
  if (choice.to === undefined) {
    const { value } = read(own, question, { agentNode: context.agentNode, nowMs: context.clock.nowMs() })
    // As long as no other DC ever came into play, the index is the service's own.
    const moved = counters.counts(counterKey, ownIndex)
    const index = !moved
      ? ownIndex
      : changed
        ? counters.next(counterKey, ownIndex)
        : counters.current(counterKey, ownIndex)
    const expiresAtMs = question.near === undefined ? undefined : context.clock.nowMs() + SHOWN_AGE_MS
    return { ...common, value, index, datacenter: own.datacenter, failover: undefined, expiresAtMs }
  }
  const index = changed ? counters.next(counterKey, ownIndex) : counters.current(counterKey, ownIndex)
  return {
    ...common,
    value: fromCandidate(question, choice.to, context),
    index,
    datacenter: choice.to.datacenter,
    failover: { from: own.datacenter, to: choice.to.datacenter },
    expiresAtMs: context.clock.nowMs() + SHOWN_AGE_MS,
  }
}

/** The usable instances of the chosen DC; with `node-meta` (only `nearest` comes here with it) those that match. */
function fromCandidate(
  question: Question<'service'>,
  chosen: Candidate,
  context: RoutedContext,
): readonly RoutedInstance[] {
  const remote = chosen.remote!
  if (!question.passing)
    return routedInstances(sorted(question, selectInstances(remote.view, question)), remote, context)
  const matching =
    question.nodeMeta === undefined
      ? chosen.usable
      : chosen.usable.filter((instance) => hasMeta(instance.node, question.nodeMeta))
  return routedInstances(sorted(question, matching), remote, context)
}

/** With where and how far they are, as of now. */
export function routedInstances(
  instances: readonly Instance[],
  { remote }: RemoteView,
  context: RoutedContext,
): RoutedInstance[] {
  const distanceMs = context.routes.distanceMs(remote)
  const ageMs = Math.round(remote.ageMs())
  return instances.map((instance) => {
    const { service, node } = instance
    const reached = addressFromAfar(instance, context.flatNetwork)
    return {
      ...instance,
      remote: {
        datacenter: remote.datacenter,
        distanceMs,
        ageMs,
        address: reached?.address ?? (service.address || node.address),
        port: reached?.port ?? service.port,
      },
    }
  })
}

/** Every DC's instances, own first, then nearest first; bounded. */
export function evaluateAll(question: Question<'service'>, changed: boolean, context: RoutedContext): Evaluation {
  const { own, routes, counters } = context
  const topics = [own.topic({ kind: 'service', service: question.service })]
  const value: RoutedInstance[] = sorted(question, selectInstances(own, question))
    .slice(0, MAX_ENTRIES_OF_ALL)
    .map((instance) => ({
      ...instance,
      remote: {
        datacenter: own.datacenter,
        distanceMs: 0,
        ageMs: 0,
        address: instance.service.address || instance.node.address,
        port: instance.service.port,
      },
    }))
  for (const remote of routes.ordered()) {
    topics.push(remote.view.topic({ kind: 'service', service: question.service }))
    const left = MAX_ENTRIES_OF_ALL - value.length
    if (left <= 0) continue
    value.push(
      ...routedInstances(sorted(question, selectInstances(remote.view, question)).slice(0, left), remote, context),
    )
  }
  const counterKey = `* ${question.service.toLowerCase()}`
  const ownIndex = topics[0]!.index
  return {
    value,
    index: changed ? counters.next(counterKey, ownIndex) : counters.current(counterKey, ownIndex),
    datacenter: own.datacenter,
    failover: undefined,
    topics,
    routed: true,
    expiresAtMs: context.clock.nowMs() + SHOWN_AGE_MS,
  }
}
