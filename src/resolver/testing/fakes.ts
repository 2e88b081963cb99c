/** A mesh of made-up datacenters for tests of the resolver: views that are set by hand, remotes whose state is set by hand. */
import type { Catalog, Command, CommandResult, ExecuteOptions } from '../../catalog/catalog.ts'
import { QueryTable } from '../../catalog/tables/query-table.ts'
import { Waiters } from '../../catalog/tables/waiters.ts'
import type { CatalogView, ServiceSummary, Topic, TopicRef } from '../../catalog/view.ts'
import type { Federation, GatewayCoordinate, RemoteDatacenter, Way } from '../../federation/federation.ts'
import type { Peer } from '../../federation/host.ts'
import type { CoordinateRow } from '../../model/coordinate.ts'
import type { FailoverRecord, Instance, KvRow, NodeRow, Status } from '../../model/entries.ts'
import { AtollError } from '../../model/errors.ts'
import type { PreparedQueryRow } from '../../model/prepared-query.ts'

class FakeTopic implements Topic {
  version = 1
  index = 1
  readonly #waiters = new Set<() => void>()

  onceChanged(fn: () => void): () => void {
    this.#waiters.add(fn)
    return () => this.#waiters.delete(fn)
  }

  raise(index: number): void {
    this.version++
    this.index = index
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const wake of waiters) wake()
  }

  get waiting(): number {
    return this.#waiters.size
  }
}

/** A server of eu-1 that is connected. */
export const server: Peer = {
  peerId: 'server',
  datacenter: 'eu-1',
  datacenterId: '',
  node: 'server',
  nodeId: 'id-server',
  role: 'server',
  direction: 'outbound',
  address: '/ip4/127.0.0.1/tcp/1',
  bootId: 'boot',
}

export const node = (name: string, fields: Partial<NodeRow> = {}): NodeRow => ({
  id: `id-${name}`,
  node: name,
  address: '10.0.0.1',
  taggedAddresses: null,
  meta: null,
  owner: 'agent',
  createIndex: 1,
  modifyIndex: 1,
  ...fields,
})

export function instance(
  service: string,
  id: string,
  status: Status = 'passing',
  fields: Partial<Instance['service']> = {},
): Instance {
  const owner = node(`node-${id}`)
  return {
    node: owner,
    service: {
      node: owner.node,
      id,
      service,
      kind: '',
      tags: [],
      address: '10.0.0.9',
      taggedAddresses: { wan: { address: '198.51.100.9', port: 443 } },
      meta: null,
      port: 80,
      socketPath: '',
      weights: { passing: 1, warning: 1 },
      enableTagOverride: false,
      proxy: null,
      connect: null,
      owner: 'agent',
      createIndex: 1,
      modifyIndex: 1,
      ...fields,
    },
    checks: [],
    status,
  }
}

export class FakeView implements CatalogView {
  index = 10
  readonly datacenter: string
  readonly #instances = new Map<string, readonly Instance[]>()
  readonly #failovers = new Map<string, FailoverRecord>()
  readonly #topics = new Map<string, FakeTopic>()
  readonly #kv = new Map<string, KvRow>()
  readonly #nodes = new Map<string, NodeRow>()
  readonly #queries = new QueryTable(new Waiters())
  readonly #listeners = new Set<(services: readonly string[]) => void>()

  constructor(datacenter: string) {
    this.datacenter = datacenter
  }

  set(service: string, instances: readonly Instance[]): void {
    this.#instances.set(service, instances)
    this.#raise({ kind: 'service', service })
    for (const listener of this.#listeners) listener([service.toLowerCase()])
  }

  setFailover(service: string, record: FailoverRecord | undefined): void {
    if (record) this.#failovers.set(service, record)
    else this.#failovers.delete(service)
    this.#raise({ kind: 'service', service })
  }

  /** Under its name; another name of the same id is gone. */
  setNode(row: NodeRow): void {
    for (const [name, { id }] of this.#nodes) if (id === row.id) this.#nodes.delete(name)
    this.#nodes.set(row.node, row)
    this.#raise({ kind: 'nodes' })
    this.topic({ kind: 'node', node: row.node }).raise(this.index)
  }

  setQuery(row: PreparedQueryRow): void {
    this.#queries.put({ ...row, modifyIndex: this.index + 1 })
    this.#raise({ kind: 'queries' })
  }

  deleteQuery(id: string): void {
    this.#queries.delete(id, this.index + 1)
    this.#raise({ kind: 'queries' })
  }

  setKv(row: KvRow): void {
    this.#kv.set(row.key, row)
    this.#raise({ kind: 'kv', key: row.key })
  }

  waiting(ref: TopicRef): number {
    return this.topic(ref).waiting
  }

  #raise(ref: TopicRef): void {
    this.index++
    this.topic(ref).raise(this.index)
  }

  topic(ref: TopicRef): FakeTopic {
    const key = JSON.stringify(ref)
    const topic = this.#topics.get(key) ?? new FakeTopic()
    this.#topics.set(key, topic)
    return topic
  }

  onServices = (listener: (services: readonly string[]) => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  nodes = (): readonly NodeRow[] => [...this.#nodes.values()]
  node = (name: string): NodeRow | undefined => this.#nodes.get(name)
  nodeById = (id: string): NodeRow | undefined => this.nodes().find((row) => row.id === id)
  servicesOf = (): readonly never[] => []
  checksOf = (): readonly never[] => []
  services = (): readonly ServiceSummary[] =>
    [...this.#instances]
      .filter(([, instances]) => instances.length > 0)
      .map(([service, instances]) => ({ service, tags: [...new Set(instances.flatMap((each) => each.service.tags))] }))
  registrations = (): readonly Instance[] => [...this.#instances.values()].flat()
  instances = (service: string): readonly Instance[] => this.#instances.get(service) ?? []
  hasService = (service: string): boolean => this.instances(service).length > 0
  checksOfService = (): readonly never[] => []
  checks = (): readonly never[] => []
  events = (): readonly never[] => []
  session = (): undefined => undefined
  sessions = (): readonly never[] => []
  sessionsOf = (): readonly never[] => []
  queries = (): readonly PreparedQueryRow[] => this.#queries.list()
  query = (id: string): PreparedQueryRow | undefined => this.#queries.get(id)
  queryFor = (name: string): PreparedQueryRow | undefined =>
    this.#queries.named(name) ?? this.#queries.templateFor(name)
  failover = (service: string): FailoverRecord | undefined => this.#failovers.get(service)
  coordinates = (): readonly never[] => []
  /** Milliseconds from the origin, on one line. */
  readonly places = new Map<string, number>()
  coordinatesOf = (name: string): readonly CoordinateRow[] => {
    const ms = this.places.get(name)
    if (ms === undefined) return []
    const coordinate = { vec: [ms / 1000, 0, 0, 0, 0, 0, 0, 0], error: 1, adjustment: 0, height: 0 }
    return [{ node: name, segment: '', coordinate }]
  }
  kv = (key: string): KvRow | undefined => this.#kv.get(key)
  kvUnder = (): readonly KvRow[] => []
  kvKeys = (): readonly string[] => []
}

export class FakeRemote implements RemoteDatacenter {
  state: RemoteDatacenter['state'] = 'live'
  suspected = false
  limited = false
  loaded = true
  fit = true
  epoch = { generation: 0, random: 'r' }
  revision = 1
  headRevision = 1
  digest = ''
  entries = 0
  counters = { deltas: 0, snapshots: 0, repairs: 0, rejected: 0, refused: 0 }
  distance: number | undefined
  connected = true
  age = 5
  readonly datacenter: string

  constructor(datacenter: string, distance: number | undefined) {
    this.datacenter = datacenter
    this.distance = distance
  }
  ageMs = (): number => this.age
  /** Through which DC calls go; undefined when it is reached directly, or not at all. */
  via: string | undefined
  reachable = (): boolean => this.connected
  way = (): Way => {
    if (!this.connected) return { kind: 'none' }
    if (this.via === undefined) return { kind: 'direct' }
    return { kind: 'relayed', via: { peerId: `peer-${this.via}`, node: `${this.via}-server`, datacenter: this.via } }
  }
  roundTripMs = (): number | undefined => this.distance
  estimated = false
  isRoundTripEstimated = (): boolean => this.estimated
  gateways = (): readonly never[] => []
  reaches = (): readonly never[] => []
}

/** Calls end where the test says. */
export class FakeFederation implements Federation {
  readonly peerId = 'self'
  readonly addresses = ['/ip4/127.0.0.1/tcp/1/p2p/self']
  readonly problems = { list: () => [], report: () => {} }
  readonly awareness = { score: 0, maxScore: 4 }
  hedges = 0
  readonly list: FakeRemote[] = []
  readonly calls: { target: string | undefined; method: string; payload: unknown; deadlineMs: number }[] = []
  onCall: (method: string, payload: unknown) => Promise<unknown> = () =>
    Promise.reject(new AtollError('unavailable', 'nobody answers'))
  readonly handlers = new Map<string, (payload: unknown, context: never) => Promise<unknown>>()
  readonly #listeners = new Set<() => void>()

  datacenters: () => readonly string[] = () => ['eu-1', ...this.list.map((remote) => remote.datacenter)]
  remote = (datacenter: string): FakeRemote | undefined => this.list.find((remote) => remote.datacenter === datacenter)
  remotes = (): readonly FakeRemote[] => this.list
  peerList: readonly Peer[] = []
  peers = (): readonly Peer[] => this.peerList
  roundTripMs = (): undefined => undefined
  coordinateList: readonly GatewayCoordinate[] = []
  coordinates = (): readonly GatewayCoordinate[] => this.coordinateList
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  changed(): void {
    for (const listener of this.#listeners) listener()
  }
  onOwnPeer = (): (() => void) => () => {}
  call(
    target: { datacenter?: string },
    method: string,
    payload: unknown,
    options: { deadlineMs: number },
  ): Promise<unknown> {
    this.calls.push({ target: target.datacenter, method, payload, deadlineMs: options.deadlineMs })
    return this.onCall(method, payload)
  }
  handle(method: string, handler: (payload: unknown, context: never) => Promise<unknown>): void {
    this.handlers.set(method, handler)
  }
  join = (): Promise<number> => Promise.resolve(1)
  visit = (): Promise<never> => Promise.reject(new AtollError('unavailable', 'nobody answers'))
  saveReplica = (): undefined => undefined
  knownPeers = (): readonly never[] => []
  leave = (): Promise<void> => Promise.resolve()
  close = (): Promise<void> => Promise.resolve()
}

export class FakeCatalog implements Catalog {
  readonly view: FakeView
  readonly executed: Command[] = []

  constructor(view: FakeView) {
    this.view = view
  }
  barrier = (): undefined => undefined
  readonly requestIds: string[] = []
  execute(command: Command, options: ExecuteOptions = {}): Promise<CommandResult> {
    this.executed.push(command)
    if (options.requestId !== undefined) this.requestIds.push(options.requestId)
    return Promise.resolve({ index: this.view.index, applied: true })
  }
  kvChanges = () => Promise.resolve({ index: this.view.index, compacted: false, changes: [] })
  save = (): Promise<never> => Promise.reject(new AtollError('unsupported', 'no archive of a fake'))
  restore = (): Promise<void> => Promise.resolve()
  close = (): Promise<void> => Promise.resolve()
}
