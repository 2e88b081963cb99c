/**
 * Prepared queries, executed: which one a name means, what it selects here, and, when that is nothing, in the other
 * datacenters that it names or that are nearest. Everything is answered from tables and replicas: no round trip.
 */
import type { CatalogView, Topic } from '../../catalog/view.ts'
import type { Instance, Status } from '../../model/entries.ts'
import { AtollError } from '../../model/errors.ts'
import { worstStatus } from '../../model/health.ts'
import { isTemplate, type PreparedQueryRow, type QueryService } from '../../model/prepared-query.ts'
import { isUuid } from '../../model/uuid.ts'
import type { Evaluation } from '../cells.ts'
import type { Execution, Question, RoutedInstance } from '../mesh.ts'
import { byDistance, byLoad } from '../rank.ts'
import { hasMeta } from '../read.ts'
import { loadedRegexps, loadRegexps } from '../regexps.ts'
import { type RoutedContext, routedInstances } from '../routed.ts'
import type { RemoteView } from '../routes.ts'
import { needsRegexps, renderTemplate } from './template.ts'

/** How long an answer keeps its order by distance, and the ages that it shows. */
const SHOWN_FOR_MS = 1_000
/** The query of that id or name, as it is stored. Throws AtollError 'invalid' for a template that is asked for by its id. */
export function findQuery(view: CatalogView, idOrName: string): PreparedQueryRow | undefined {
  if (idOrName === '') return undefined
  const byId = isUuid(idOrName) ? view.query(idOrName.toLowerCase()) : undefined
  if (byId === undefined) return view.queryFor(idOrName)
  if (!isTemplate(byId)) return byId
  throw new AtollError('invalid', 'prepared query templates can only be resolved up by name, not by ID', {
    field: 'query',
  })
}

/** ... and as it stands for that name. */
export function renderedQuery(view: CatalogView, idOrName: string): PreparedQueryRow | undefined {
  const query = findQuery(view, idOrName)
  return query && renderTemplate(query, idOrName, loadedRegexps())
}

/** What has to be waited for before a query can be rendered: undefined for nothing. Never throws. */
export function queryReady(view: CatalogView, idOrName: string): Promise<unknown> | undefined {
  if (loadedRegexps() !== undefined || isUuid(idOrName)) return undefined
  const query = view.queryFor(idOrName)
  return query && needsRegexps(query) ? loadRegexps() : undefined
}

interface Found {
  readonly instances: readonly Instance[]
  /** Whether their order means something. */
  readonly isOrdered: boolean
  /** undefined: here. */
  readonly remote: RemoteView | undefined
  readonly failovers: number
  readonly topics: readonly Topic[]
  readonly routed: boolean
}

interface Last {
  /** As it is stored. */
  readonly query: PreparedQueryRow | undefined
  readonly rendered: PreparedQueryRow | undefined
  readonly found: Found | undefined
  readonly evaluation: Evaluation
}

/** One question's evaluations: each knows the last, so that what did not change keeps its value and its index. */
export class QueryEvaluator {
  readonly #question: Question<'query-execute'>
  readonly #context: RoutedContext
  readonly #counterKey: string
  #last: Last | undefined

  constructor(question: Question<'query-execute'>, context: RoutedContext) {
    this.#question = question
    this.#context = context
    this.#counterKey = `query ${JSON.stringify(question)}`
  }

  /** `changed` as in `Cell`. Throws AtollError 'invalid' for a template that cannot be rendered. */
  evaluate(changed: boolean): Evaluation {
    const { own } = this.#context
    const query = findQuery(own, this.#question.query)
    const rendered =
      query !== undefined && query === this.#last?.query
        ? this.#last.rendered
        : query && renderTemplate(query, this.#question.query, loadedRegexps())
    const found = rendered && this.#find(rendered.service)
    const evaluation = this.#evaluation(changed, query, rendered, found)
    this.#last = { query, rendered, found, evaluation }
    return evaluation
  }

  #evaluation(
    changed: boolean,
    query: PreparedQueryRow | undefined,
    rendered: PreparedQueryRow | undefined,
    found: Found | undefined,
  ): Evaluation {
    const { own, counters, clock } = this.#context
    const last = this.#last
    const queries = own.topic({ kind: 'queries' })
    const same = last !== undefined && last.query === query && isSame(last.found, found)
    const reached = Math.max(query?.modifyIndex ?? queries.index, found?.topics[0]?.index ?? 0)
    const moved = changed && !same && (last !== undefined || counters.counts(this.#counterKey, reached))
    const index = moved ? counters.next(this.#counterKey, reached) : counters.current(this.#counterKey, reached)
    const datacenter = found?.remote?.view.datacenter ?? own.datacenter
    const ages = found?.isOrdered || found?.remote !== undefined
    return {
      value: same && !found?.remote ? last.evaluation.value : rendered && found && this.#execution(rendered, found),
      index,
      datacenter,
      failover: datacenter === own.datacenter ? undefined : { from: own.datacenter, to: datacenter },
      topics: [queries, ...(found?.topics ?? [])],
      routed: found?.routed ?? false,
      ...(ages && { expiresAtMs: clock.nowMs() + SHOWN_FOR_MS }),
    }
  }

  #execution(query: PreparedQueryRow, found: Found): Execution {
    const instances: readonly RoutedInstance[] = found.remote
      ? routedInstances(found.instances, found.remote, this.#context)
      : found.instances
    return { query, instances, isOrdered: found.isOrdered, failovers: found.failovers }
  }

  #find(service: QueryService): Found {
    const { own } = this.#context
    const topics = [own.topic({ kind: 'service', service: service.service })]
    if (service.connect || this.#question.connect) {
      return { instances: [], isOrdered: false, remote: undefined, failovers: 0, topics, routed: false }
    }
    const here = selectFor(own, service)
    if (here.length > 0) {
      const near = byDistance(own, this.#near(service), here, (instance) => instance.node.node)
      const instances = this.#sorted(service, near)
      return { instances, isOrdered: instances !== here, remote: undefined, failovers: 0, topics, routed: false }
    }
    return this.#failover(service, topics)
  }

  /** As it is where nobody is to be sorted, or says how busy it is. */
  #sorted({ sort }: QueryService, instances: readonly Instance[]): readonly Instance[] {
    return sort === 'load' || this.#question.sort === 'load' ? byLoad(instances) : instances
  }

  #near(service: QueryService): string | undefined {
    const { near, agent } = this.#question
    if (near !== undefined) return near
    if (service.near === '_agent') return agent || undefined
    return service.near === '' || service.near === '_ip' ? undefined : service.near
  }

  /** The first candidate with something; who was chosen last stays as long as none of the nearest is clearly nearer. */
  #failover(service: QueryService, topics: Topic[]): Found {
    const { routes } = this.#context
    const { candidates, nearest } = candidatesOf(service, routes.ordered())
    const inUse = this.#last?.found?.remote?.view.datacenter
    let chosen: { remote: RemoteView; instances: readonly Instance[]; failovers: number } | undefined
    for (const [i, remote] of candidates.entries()) {
      const { datacenter } = remote.view
      // Once something was found, only the one in use is still of interest, and only among the nearest.
      if (chosen && (i >= nearest || datacenter !== inUse)) continue
      topics.push(remote.view.topic({ kind: 'service', service: service.service }))
      if (!remote.remote.fit || remote.remote.state === 'quarantined') continue
      const instances = selectFor(remote.view, service)
      if (instances.length === 0) continue
      if (chosen && routes.isClearlyNearer(chosen.remote.view.datacenter, datacenter)) continue
      chosen = { remote, instances, failovers: i + 1 }
    }
    const { instances: found = [], remote, failovers = candidates.length } = chosen ?? {}
    const instances = this.#sorted(service, found)
    return { instances, remote, failovers, isOrdered: instances !== found, topics, routed: true }
  }
}

/** Datacenters in the order in which they are tried, and how many of them are there because they are near. */
function candidatesOf(
  { failover }: QueryService,
  ordered: readonly RemoteView[],
): { candidates: readonly RemoteView[]; nearest: number } {
  const candidates = ordered.slice(0, failover.nearestN)
  const nearest = candidates.length
  for (const name of [...(failover.datacenters ?? []), ...(failover.targets ?? [])]) {
    const remote = ordered.find(({ view }) => view.datacenter === name)
    if (remote !== undefined && !candidates.includes(remote)) candidates.push(remote)
  }
  return { candidates, nearest }
}

/** What a query selects in one datacenter. */
function selectFor(view: CatalogView, service: QueryService): readonly Instance[] {
  const all = view.instances(service.service)
  const hasTags = tagTest(service.tags ?? [])
  const isWell = healthTest(service)
  const { nodeMeta, serviceMeta } = service
  return all.filter(
    (instance) =>
      isWell(instance) &&
      hasTags(instance) &&
      hasMeta(instance.node, nodeMeta ?? undefined) &&
      hasMeta(instance.service, serviceMeta ?? undefined),
  )
}

/** In any case of their letters; those with a `!` must not be there. */
function tagTest(tags: readonly string[]): (instance: Instance) => boolean {
  if (tags.length === 0) return () => true
  const lower = tags.map((tag) => tag.toLowerCase())
  const must = lower.filter((tag) => !tag.startsWith('!'))
  const mustNot = lower.filter((tag) => tag.startsWith('!')).map((tag) => tag.slice(1))
  return ({ service }) => {
    const own = new Set(service.tags.map((tag) => tag.toLowerCase()))
    return must.every((tag) => own.has(tag)) && !mustNot.some((tag) => own.has(tag))
  }
}

function healthTest({ onlyPassing, ignoreCheckIds }: QueryService): (instance: Instance) => boolean {
  const isWell = (status: Status): boolean => (onlyPassing ? status === 'passing' : status !== 'critical')
  if (ignoreCheckIds === null || ignoreCheckIds.length === 0) return ({ status }) => isWell(status)
  const ignored = new Set(ignoreCheckIds)
  return ({ checks }) => isWell(worstStatus(checks.filter(({ checkId }) => !ignored.has(checkId))))
}

function isSame(a: Found | undefined, b: Found | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return (
    a.remote?.view === b.remote?.view &&
    a.failovers === b.failovers &&
    a.isOrdered === b.isOrdered &&
    a.instances.length === b.instances.length &&
    a.instances.every((instance, i) => instance === b.instances[i])
  )
}
