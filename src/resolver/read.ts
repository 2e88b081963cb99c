/** Questions answered from one DC's view: what is read, and the topics on which the answer depends. */
import type { CatalogView, Topic } from '../catalog/view.ts'
import type { CheckRow, Instance, NodeRow } from '../model/entries.ts'
import { isUuid } from '../model/uuid.ts'
import type { AnswerValue, Question, QuestionKind } from './mesh.ts'
import { renderedQuery } from './queries/execute.ts'
import { byDistance, byLoad } from './rank.ts'
import { whoHas } from './reverse.ts'

export interface Reading {
  readonly value: unknown
  /** Never empty; the highest index among them is the answer's. */
  readonly topics: readonly Topic[]
  /** What the answer depends on too, without counting for its index. */
  readonly also?: readonly Topic[]
}

/** What one reading may need beside the view. */
export interface ReadContext {
  /** Name of the node that was asked, for `near=_agent`; undefined when it is of another DC. */
  readonly agentNode: string | undefined
  readonly nowMs: number
}

type Reader<K extends QuestionKind> = (
  view: CatalogView,
  question: Question<K>,
  context: ReadContext,
) => Reading & { readonly value: AnswerValue<K> }

/** `near` as a node's name. */
const nearOf = (near: string | undefined, context: ReadContext): string | undefined =>
  near === '_agent' ? context.agentNode : near

/** Whether a node or a service has all of these. */
export function hasMeta(
  entry: { readonly meta: NodeRow['meta'] } | undefined,
  wanted: Readonly<Record<string, string>> | undefined,
): boolean {
  if (wanted === undefined) return true
  for (const [key, value] of Object.entries(wanted)) if (entry?.meta?.[key] !== value) return false
  return true
}

/** Whether an instance carries every tag, in any case. A tag that is asked for many times is looked for once. */
export function tagMatcher(tags: readonly string[]): (instance: Instance) => boolean {
  if (tags.length === 0) return () => true
  const wanted = [...new Set(tags.map((tag) => tag.toLowerCase()))]
  return ({ service }) => {
    if (service.tags.length < wanted.length) return false
    return wanted.every((tag) => service.tags.some((own) => own.toLowerCase() === tag))
  }
}

/** Instances of a service after tags, node meta and, when asked, health. The view's own array when nothing is left out. */
export function selectInstances(view: CatalogView, question: Question<'service'>): readonly Instance[] {
  const all = view.instances(question.service)
  if (!question.passing && question.tags.length === 0 && question.nodeMeta === undefined) return all
  const hasTags = tagMatcher(question.tags)
  return all.filter(
    (instance) =>
      (!question.passing || instance.status === 'passing') &&
      hasTags(instance) &&
      hasMeta(instance.node, question.nodeMeta),
  )
}

/** In the order that is asked for. */
export const sorted = (question: Question<'service'>, instances: readonly Instance[]): readonly Instance[] =>
  question.sort === 'load' ? byLoad(instances) : instances

const checksWithMeta = (
  view: CatalogView,
  checks: readonly CheckRow[],
  wanted: Readonly<Record<string, string>> | undefined,
): readonly CheckRow[] =>
  wanted === undefined ? checks : checks.filter((check) => hasMeta(view.node(check.node), wanted))

const sortedChecks = (view: CatalogView, checks: readonly CheckRow[], near: string | undefined): readonly CheckRow[] =>
  byDistance(view, near, checks, (check) => check.node)

/** Kinds that one view answers; prepared queries are executed over several. */
export type ReadKind = Exclude<QuestionKind, 'query-execute'>

const readers: { [K in ReadKind]: Reader<K> } = {
  datacenters: (view) => ({ value: [view.datacenter], topics: [view.topic({ kind: 'nodes' })] }),
  nodes: (view, question, context) => ({
    value: byDistance(
      view,
      nearOf(question.near, context),
      question.nodeMeta ? view.nodes().filter((node) => hasMeta(node, question.nodeMeta)) : view.nodes(),
      (node) => node.node,
    ),
    topics: [view.topic({ kind: 'nodes' })],
  }),
  services: (view, question) => ({
    value: question.nodeMeta ? servicesOnNodes(view, question.nodeMeta) : view.services(),
    topics: question.nodeMeta
      ? [view.topic({ kind: 'services' }), view.topic({ kind: 'nodes' })]
      : [view.topic({ kind: 'services' })],
  }),
  registrations: (view, { nodeMeta }) => ({
    value: registrationsOn(view, nodeMeta),
    topics: [view.topic({ kind: 'services' }), view.topic({ kind: 'nodes' })],
  }),
  service: (view, question, context) => ({
    value: sorted(
      question,
      byDistance(
        view,
        nearOf(question.near, context),
        selectInstances(view, question),
        (instance) => instance.node.node,
      ),
    ),
    topics: [view.topic({ kind: 'service', service: question.service })],
  }),
  node: (view, question) => {
    const named = view.node(question.node)
    const node = named ?? (isUuid(question.node) ? view.nodeById(question.node) : undefined)
    const topic = view.topic({ kind: 'node', node: node?.node ?? question.node })
    const value = node && { node, services: view.servicesOf(node.node), checks: view.checksOf(node.node) }
    if (named !== undefined || !isUuid(question.node)) return { value, topics: [topic] }
    // An id may come under any name, and as long as nobody has it there is no index of its own.
    const nodes = view.topic({ kind: 'nodes' })
    return node === undefined ? { value, topics: [topic, nodes] } : { value, topics: [topic], also: [nodes] }
  },
  address: (view, question, context) => ({
    value: whoHas(view, question.address, context.nowMs),
    topics: [view.topic({ kind: 'nodes' })],
    also: [view.topic({ kind: 'services' })],
  }),
  'service-checks': (view, question, context) => ({
    value: sortedChecks(
      view,
      checksWithMeta(view, view.checksOfService(question.service), question.nodeMeta),
      nearOf(question.near, context),
    ),
    topics: [view.topic({ kind: 'service', service: question.service })],
  }),
  'node-checks': (view, question) => ({
    value: view.checksOf(question.node),
    topics: [view.topic({ kind: 'node', node: question.node })],
  }),
  state: (view, question, context) => ({
    value: sortedChecks(
      view,
      checksWithMeta(view, view.checks(question.state === 'any' ? undefined : question.state), question.nodeMeta),
      nearOf(question.near, context),
    ),
    topics: [view.topic({ kind: 'checks' }), ...(question.nodeMeta ? [view.topic({ kind: 'nodes' })] : [])],
  }),
  coordinates: (view, question) => ({
    value: question.node === undefined ? view.coordinates() : view.coordinatesOf(question.node),
    topics: [view.topic({ kind: 'coordinates' })],
  }),
  'coordinate-datacenters': (view) => ({
    value: [{ datacenter: view.datacenter, coordinates: view.coordinates() }],
    topics: [view.topic({ kind: 'coordinates' })],
  }),
  kv: (view, question) => ({ value: view.kv(question.key), topics: [view.topic({ kind: 'kv', key: question.key })] }),
  'kv-prefix': (view, question) => ({
    value: view.kvUnder(question.prefix),
    topics: [view.topic({ kind: 'kv-prefix', prefix: question.prefix })],
  }),
  'kv-keys': (view, question) => ({
    value: view.kvKeys(question.prefix, question.separator),
    topics: [view.topic({ kind: 'kv-prefix', prefix: question.prefix })],
  }),
  session: (view, { session }) => ({
    value: view.session(session),
    topics: [view.topic({ kind: 'session', session })],
  }),
  events: (view, { name }) => ({
    value: name === undefined ? view.events() : view.events().filter((event) => event.name === name),
    topics: [view.topic({ kind: 'events', ...(name !== undefined && { name }) })],
  }),
  sessions: (view) => ({ value: view.sessions(), topics: [view.topic({ kind: 'sessions' })] }),
  'node-sessions': (view, { node }) => ({
    value: view.sessionsOf(node),
    topics: [view.topic({ kind: 'node-sessions', node })],
  }),
  queries: (view) => ({ value: view.queries(), topics: [view.topic({ kind: 'queries' })] }),
  query: (view, { id }) => ({ value: view.query(id), topics: [view.topic({ kind: 'query', id })] }),
  'query-explain': (view, { query }) => ({
    value: renderedQuery(view, query),
    topics: [view.topic({ kind: 'queries' })],
  }),
}

const registrationsOn = (
  view: CatalogView,
  wanted: Readonly<Record<string, string>> | undefined,
): AnswerValue<'registrations'> =>
  wanted === undefined ? view.registrations() : view.registrations().filter(({ node }) => hasMeta(node, wanted))

function servicesOnNodes(view: CatalogView, wanted: Readonly<Record<string, string>>): AnswerValue<'services'> {
  const tagsOf = new Map<string, Set<string>>()
  for (const { service } of registrationsOn(view, wanted)) {
    const tags = tagsOf.get(service.service) ?? new Set()
    tagsOf.set(service.service, tags)
    for (const tag of service.tags) tags.add(tag)
  }
  return [...tagsOf].map(([service, tags]) => ({ service, tags: [...tags] }))
}

export function read(view: CatalogView, question: Question<ReadKind>, context: ReadContext): Reading {
  const reader = readers[question.kind] as Reader<ReadKind>
  return reader(view, question, context)
}

/** Questions whose answers other DCs hold too; the rest always goes to the DC that it names. */
export const isReplicated = (kind: QuestionKind): boolean => !AT_HOME.has(kind)
const AT_HOME: ReadonlySet<QuestionKind> = new Set([
  'kv',
  'kv-prefix',
  'kv-keys',
  'events',
  'session',
  'sessions',
  'node-sessions',
  'queries',
  'query',
  'query-explain',
  'query-execute',
  'coordinates',
])
