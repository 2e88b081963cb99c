/** The door: routes a question to tables, to a replica or to another node, and answers it. */
import type { Catalog, Command, CommandResult } from '../catalog/catalog.ts'
import type { CatalogView } from '../catalog/view.ts'
import type { Federation, RemoteDatacenter } from '../federation/federation.ts'
import { AtollError, isAtollError } from '../model/errors.ts'
import { assertDatacenter } from '../model/names.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import type { AgentDoor } from './agent-door.ts'
import { Cell, CellCache, type Evaluation } from './cells.ts'
import { addressFromAfar, Chooser } from './choose.ts'
import { ClientSide } from './client-side.ts'
import { AnswerCounters } from './counters.ts'
import { evaluateCoordinates, evaluateDatacenters } from './datacenters.ts'
import { describeMesh } from './describe.ts'
import { explain } from './explain.ts'
import { Forwarder } from './forward.ts'
import { Home } from './home.ts'
import type {
  Answer,
  AnswerValue,
  AskOptions,
  CommandOptions,
  Explanation,
  Mesh,
  Prepared,
  Principal,
  Question,
  QuestionKind,
} from './mesh.ts'
import { QueryEvaluator, queryReady } from './queries/execute.ts'
import { isReplicated, type ReadKind, read } from './read.ts'
import { evaluateAll, evaluateRouted, type RoutedContext } from './routed.ts'
import { Routes } from './routes.ts'
import type { MeshStatus } from './status.ts'
import { SummaryServer } from './summaries/serve.ts'
import { type ToAnswer, toAnswers } from './to-answer.ts'
import { newerThan, type Waited } from './waiting.ts'
import { explainMessageOf, explanationOf, statusOf } from './wire.ts'

export interface MeshOptions {
  readonly datacenter: string
  readonly nodeName: string
  readonly runtime: string
  readonly agent: AgentDoor
  /** undefined on a client node: its questions go to the servers of its DC. */
  readonly catalog: Catalog | undefined
  readonly federation: Federation
  /** Tables of another DC's replica; the same object as long as this node runs. */
  readonly replica: (datacenter: string) => CatalogView | undefined
  readonly clock: Clock
  readonly random: Random
  /** Whether plain lookups may be answered by another DC. */
  readonly failover: boolean
  readonly flatNetwork: boolean
  /** host:port of this node's libp2p endpoint, as `/v1/status` shows it. */
  readonly serverAddress: string
  /** That of the server that leads the DC, on servers of one that may have several; undefined while there is none. */
  readonly leader?: () => string | undefined
  /** Different questions whose answers are kept. */
  readonly maxKeptAnswers?: number
  /** Entries of those answers together. */
  readonly maxKeptEntries?: number
}

/** Less than 100 MB if all of them were other DCs' (300 bytes each); the own ones are the tables' own. */
const MAX_KEPT_ENTRIES = 300_000
/** How long an answer keeps its order by distance, and one about an address what it was read from. */
const SORTED_FOR_MS = 1_000

/** Whose tables answer: the own DC's, one replica's, or those of several DCs. */
type View = 'own' | 'many' | { readonly datacenter: string }

interface CellRoute extends Waited {
  readonly kind: 'cell'
  readonly view: View
}

type Route =
  | CellRoute
  | { readonly kind: 'rpc'; readonly to: string }
  /** On a client node. */
  | { readonly kind: 'client'; readonly client: ClientSide; readonly key: string | undefined }

export type RunningMesh = Mesh & { close(): void }

export function createMesh(options: MeshOptions): RunningMesh {
  return new Door(options)
}

class Door implements RunningMesh {
  readonly agent: AgentDoor
  readonly datacenter: string
  readonly nodeName: string
  readonly #options: MeshOptions
  readonly #routes: Routes
  readonly #chooser: Chooser | undefined
  readonly #cells: CellCache
  readonly #counters: AnswerCounters
  readonly #forward: Forwarder
  readonly home: Home
  /** On a client node. */
  readonly #client: ClientSide | undefined
  readonly #summaries: SummaryServer | undefined
  /** Index of this node's last catalog write in another DC: its default reads there must show it. Bounded by the DCs. */
  readonly #wrote = new Map<string, number>()
  readonly #stopListening: () => void

  constructor(options: MeshOptions) {
    this.#options = options
    this.agent = options.agent
    this.datacenter = options.datacenter
    this.nodeName = options.nodeName
    const { clock, random, federation, datacenter } = options
    this.#routes = new Routes({ clock, remotes: () => federation.remotes(), view: options.replica })
    this.#stopListening = federation.onChange(() => this.#routes.refresh())
    const max = options.maxKeptAnswers ?? 10_000
    this.#cells = new CellCache(max, options.maxKeptEntries ?? MAX_KEPT_ENTRIES)
    this.#counters = new AnswerCounters(max)
    this.#chooser =
      options.catalog &&
      new Chooser({
        own: options.catalog.view,
        routes: this.#routes,
        failover: options.failover,
        flatNetwork: options.flatNetwork,
      })
    this.#forward = new Forwarder({ federation, clock, random, datacenter })
    this.home = new Home({ federation, catalog: options.catalog, datacenter })
    if (options.catalog === undefined) {
      const ask = (question: Question, asked: AskOptions) => this.#askElsewhere(datacenter, question, asked)
      this.#client = new ClientSide({ ...options, ask })
    } else {
      this.#summaries = new SummaryServer({
        ...options,
        own: options.catalog.view,
        afarOf: (instance) => addressFromAfar(instance, options.flatNetwork),
      })
      this.#forward.serve(this, (message) =>
        this.#execute(
          message.command,
          message.datacenter,
          { principal: { token: message.token } },
          message.requestId,
          message.hops,
        ),
      )
      federation.handle('mesh.explain', async (payload) => this.explain(explainMessageOf(payload), { token: '' }))
      federation.handle('mesh.status', async () => this.status())
    }
  }

  prepare<K extends QuestionKind>(question: Question<K>, options: AskOptions): Prepared<AnswerValue<K>> {
    const asked = this.#normalize(question as Question, options)
    const route = this.#route(asked, options)
    const toAnswer = toAnswers(this.datacenter, options.consistency, this.#options.federation)
    return {
      now: () => this.#now(route, options, toAnswer) as Answer<AnswerValue<K>> | undefined,
      soon: () => this.#soon(route, options, toAnswer) as ReturnType<Prepared<AnswerValue<K>>['soon']>,
      answer: (waiting) =>
        this.#answer(asked, route, { ...options, ...waiting }, toAnswer) as Promise<Answer<AnswerValue<K>>>,
    }
  }

  async ask<K extends QuestionKind>(question: Question<K>, options: AskOptions): Promise<Answer<AnswerValue<K>>> {
    return this.prepare(question, options).answer()
  }

  execute(command: Command, options: CommandOptions): Promise<CommandResult> {
    return this.#execute(command, options.datacenter ?? this.datacenter, options)
  }

  async explain(service: string, _principal: Principal): Promise<Explanation> {
    if (this.#chooser === undefined) {
      return explanationOf(this.datacenter, await this.#callOwn('mesh.explain', { service }))
    }
    return explain(service, this.datacenter, this.#chooser, this.#routes)
  }

  async status(): Promise<MeshStatus> {
    const own = { ...describeMesh(this.#options), summaries: this.#client?.summaries() }
    if (this.#options.catalog) return own
    try {
      const server = statusOf(this.datacenter, await this.#callOwn('mesh.status', {}))
      return { ...own, datacenters: server.datacenters }
    } catch (error) {
      // What this node itself knows, then.
      if (isAtollError(error) && error.code === 'unavailable' && this.peers().length === 0) return own
      throw error
    }
  }

  leader(): string {
    const { leader } = this.#options
    return (leader ? leader() : this.peers()[0]) ?? ''
  }

  peers(): readonly string[] {
    const { catalog, serverAddress, federation } = this.#options
    const others = federation
      .peers()
      .filter((peer) => peer.datacenter === this.datacenter && peer.role === 'server')
      .map((peer) => hostPort(peer.address))
    return catalog ? [serverAddress, ...others] : others
  }

  close(): void {
    this.#stopListening()
    this.#routes.close()
    this.#client?.close()
    this.#summaries?.close()
  }

  #callOwn(method: string, payload: unknown): Promise<unknown> {
    return this.#options.federation.call({ datacenter: this.datacenter }, method, payload, { deadlineMs: 5000 })
  }

  /** `_agent` means this node, whoever answers. */
  #normalize(question: Question, options: AskOptions): Question {
    const near = (question as { near?: string }).near
    const executes = question.kind === 'query-execute' && question.agent === undefined
    if (near !== '_agent' && !executes) return question
    const name = options.datacenter
    const elsewhere = name !== undefined && name !== this.datacenter && name !== 'nearest' && name !== '*'
    const agent = elsewhere ? undefined : this.nodeName
    return {
      ...question,
      ...(near === '_agent' && { near: agent }),
      ...(executes && { agent: agent ?? '' }),
    } as Question
  }

  #route(question: Question, options: AskOptions): Route {
    const { catalog, federation } = this.#options
    if (catalog === undefined) {
      const { datacenter } = options
      if (datacenter !== undefined && datacenter !== 'nearest' && datacenter !== '*') assertDatacenter(datacenter, 'dc')
      const client = this.#client!
      return { kind: 'client', client, key: client.keyOf(question, options) }
    }
    const name = options.datacenter
    if (question.kind === 'datacenters')
      return this.#cellRoute(question, 'datacenters', 'many', () => evaluateDatacenters(federation, this.datacenter))
    if (question.kind === 'coordinate-datacenters')
      return this.#cellRoute(question, 'coordinates', 'many', () => evaluateCoordinates(federation, this.datacenter))
    if (name === 'nearest' || name === '*') return this.#manyRoute(question, name)
    if (question.kind === 'query-execute') return this.#queryRoute(question, name)
    if (name === undefined || name === this.datacenter) {
      if (
        question.kind === 'service' &&
        question.passing &&
        name === undefined &&
        !options.noFailover &&
        question.nodeMeta === undefined
      ) {
        return this.#cellRoute(question, 'failover', 'many', (changed) =>
          this.#evaluateRouted(question, false, changed),
        )
      }
      const route = this.#cellRoute(question, 'own', 'own', () => this.#evaluateView(catalog.view, question))
      return question.kind === 'query-explain' ? this.#onceReady(route, question.query) : route
    }
    const remote = this.#remoteOf(name)
    const view = this.#options.replica(name)
    if (!isReplicated(question.kind) || options.consistency === 'consistent' || view === undefined || !remote.loaded) {
      return { kind: 'rpc', to: name }
    }
    return this.#cellRoute(question, name, { datacenter: name }, () => this.#evaluateView(view, question))
  }

  #remoteOf(name: string): RemoteDatacenter {
    assertDatacenter(name, 'dc')
    const remote = this.#options.federation.remote(name)
    if (remote !== undefined) return remote
    throw new AtollError('no-path', `No path to datacenter: "${name}" was never heard of here`, { field: 'dc' })
  }

  /** Where it is stored: there it is known what it stands for. */
  #queryRoute(question: Question<'query-execute'>, name: string | undefined): Route {
    if (name !== undefined && name !== this.datacenter) return { kind: 'rpc', to: this.#remoteOf(name).datacenter }
    let evaluator: QueryEvaluator | undefined
    const route = this.#cellRoute(question, 'query', 'many', (changed) => {
      evaluator ??= new QueryEvaluator(question, this.#routedContext())
      return evaluator.evaluate(changed)
    })
    return this.#onceReady(route, question.query)
  }

  #onceReady(route: CellRoute, query: string): Route {
    return { ...route, ready: () => queryReady(this.#options.catalog!.view, query) }
  }

  #manyRoute(question: Question, name: 'nearest' | '*'): Route {
    if (question.kind !== 'service') {
      throw new AtollError(
        'invalid',
        `dc: "${name}" is for lookups of a service (/v1/health/service, /v1/catalog/service)`,
        { field: 'dc' },
      )
    }
    return this.#cellRoute(question, name, 'many', (changed) =>
      name === '*' ? this.#evaluateAll(question, changed) : this.#evaluateRouted(question, true, changed),
    )
  }

  #cellRoute(question: Question, from: string, view: View, evaluate: (changed: boolean) => Evaluation): CellRoute {
    const key = `${from} ${JSON.stringify(question)}`
    const cell = this.#cells.get(key, () => new Cell(evaluate, this.#routes, () => this.#options.clock.nowMs()))
    return { kind: 'cell', cell, view }
  }

  #evaluateView(view: CatalogView, question: Question<ReadKind>): Evaluation {
    const {
      value,
      topics,
      also = [],
    } = read(view, question, {
      agentNode: view.datacenter === this.datacenter ? this.nodeName : undefined,
      nowMs: this.#options.clock.nowMs(),
    })
    const index = Math.max(...topics.map((topic) => topic.index))
    const base = { value, index, datacenter: view.datacenter, failover: undefined, routed: false }
    // Distances change all the time: that is no change of the answer, only of its order.
    const ages = question.kind === 'address' || ('near' in question && question.near)
    const expiresAtMs = ages ? this.#options.clock.nowMs() + SORTED_FOR_MS : undefined
    return { ...base, topics: also.length === 0 ? topics : [...topics, ...also], expiresAtMs }
  }

  #evaluateRouted(question: Question<'service'>, nearest: boolean, changed: boolean): Evaluation {
    return evaluateRouted(question, nearest, changed, this.#routedContext())
  }

  #evaluateAll(question: Question<'service'>, changed: boolean): Evaluation {
    return evaluateAll(question, changed, this.#routedContext())
  }

  #routedContext(): RoutedContext {
    return {
      own: this.#options.catalog!.view,
      chooser: this.#chooser!,
      routes: this.#routes,
      counters: this.#counters,
      clock: this.#options.clock,
      flatNetwork: this.#options.flatNetwork,
      agentNode: this.nodeName,
    }
  }

  #now(route: Route, options: AskOptions, toAnswer: ToAnswer): Answer<unknown> | undefined {
    const soon = this.#soon(route, options, toAnswer)
    if (!(soon instanceof Promise)) return soon
    // Whoever asks on by `answer()` takes a barrier that begins after it; this one may fail unheard.
    soon.catch(() => {})
    return undefined
  }

  #soon(route: Route, options: AskOptions, toAnswer: ToAnswer): Answer<unknown> | Promise<Answer<unknown>> | undefined {
    if (route.kind === 'rpc' || options.index !== undefined) return undefined
    if (route.kind === 'client') return route.client.now(route.key)
    if (route.ready?.() !== undefined) return undefined
    if (options.consistency !== 'stale') {
      if (this.#isBehindOwnWrite(route.view)) return undefined
      const barrier = this.#barrier(route.view)
      if (barrier !== undefined) {
        const answer = (): Answer<unknown> => toAnswer(route.cell.current())
        return route.ready ? barrier.then(route.ready).then(answer) : barrier.then(answer)
      }
    }
    return toAnswer(route.cell.current())
  }

  /** undefined: the own tables may be read at once. */
  #barrier(view: View): Promise<void> | undefined {
    return typeof view === 'object' ? undefined : this.#options.catalog!.barrier()
  }

  /** Whether the replica does not show yet what this node itself wrote in that DC. */
  #isBehindOwnWrite(view: View): boolean {
    if (typeof view !== 'object') return false
    const wrote = this.#wrote.get(view.datacenter)
    if (wrote === undefined) return false
    if ((this.#options.replica(view.datacenter)?.index ?? 0) < wrote) return true
    this.#wrote.delete(view.datacenter)
    return false
  }

  async #answer(question: Question, route: Route, options: AskOptions, toAnswer: ToAnswer): Promise<Answer<unknown>> {
    if (route.kind === 'rpc') return this.#askElsewhere(route.to, question, options)
    if (route.kind === 'client') return route.client.answer(route.key, question, options)
    if (options.consistency !== 'stale') {
      if (typeof route.view === 'object' && this.#isBehindOwnWrite(route.view)) {
        return this.#askElsewhere(route.view.datacenter, question, options)
      }
      await this.#barrier(route.view)
    }
    await route.ready?.()
    const { clock, random } = this.#options
    return toAnswer(await newerThan(route, route.view === 'many', options, clock, random))
  }

  async #askElsewhere(to: string, question: Question, options: AskOptions): Promise<Answer<unknown>> {
    const answer = (await this.#forward.ask(
      to,
      question,
      this.#options.catalog ? { ...options, datacenter: to } : options,
    )) as Answer<unknown>
    return to === this.datacenter ? answer : { ...answer, source: 'rpc' }
  }

  async #execute(
    command: Command,
    datacenter: string,
    options: CommandOptions,
    requestId?: string,
    hops = 0,
  ): Promise<CommandResult> {
    const { catalog, federation } = this.#options
    if (datacenter === this.datacenter && catalog)
      return catalog.execute(command, requestId === undefined ? undefined : { requestId })
    if (datacenter === 'nearest' || datacenter === '*') {
      throw new AtollError('invalid', `dc: a write needs one datacenter by its name, not "${datacenter}"`, {
        field: 'dc',
      })
    }
    assertDatacenter(datacenter, 'dc')
    if (catalog && federation.remote(datacenter) === undefined) {
      throw new AtollError('no-path', `No path to datacenter: "${datacenter}" was never heard of here`, { field: 'dc' })
    }
    const to = catalog ? datacenter : this.datacenter
    const result = await this.#forward
      .execute(to, datacenter, command, options, requestId, hops)
      .finally(() => this.#client?.forget(datacenter))
    if (catalog && changesExported(command.kind)) {
      this.#wrote.set(datacenter, Math.max(this.#wrote.get(datacenter) ?? 0, result.index))
    }
    return result
  }
}

/** Whether replicas elsewhere show what the command did: KV and sessions never leave their DC. */
const changesExported = (kind: Command['kind']): boolean => !/^(?:kv|session|event|query)-/.test(kind)

/** host:port of a multiaddr like /ip4/10.0.0.1/tcp/8300. */
function hostPort(multiaddr: string): string {
  const parts = multiaddr.split('/')
  const host = parts[2] ?? ''
  return `${host.includes(':') ? `[${host}]` : host}:${parts[4] ?? ''}`
}
