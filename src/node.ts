/** One node: its parts in the order in which they start; they stop in reverse. No logic of its own. */
import { hostname } from 'node:os'
import { createAgent, type LocalAgent } from './agent/agent.ts'
import { type Config, type ConfigInput, nodeNameOf, PRESETS, parseConfig } from './config.ts'
import { type RunningDnsServer, startDnsServer } from './dns/server.ts'
import type { Federation } from './federation/federation.ts'
import type { Host } from './federation/host.ts'
import { openFederation } from './federation/open.ts'
import { devAuthority } from './federation/transport/authority.ts'
import { openHost } from './federation/transport/host.ts'
import { freshIdentity, loadIdentity } from './federation/transport/identity.ts'
import { createApp } from './http/app.ts'
import { hostAndPort } from './model/addresses.ts'
import { AtollError, messageOf } from './model/errors.ts'
import { agentDoorOf, MEMBERS } from './node/agent-door.ts'
import { announcedAddresses, catalogAddress, taggedAddressesOf } from './node/announce.ts'
import { Backups } from './node/backups.ts'
import { aliasedNodeOf, readCheckAuthorities } from './node/checks.ts'
import { CoordinateWriter } from './node/coordinate-writer.ts'
import { localDefinitions } from './node/definitions.ts'
import { NodeDistance } from './node/distance.ts'
import { exportSourceOf } from './node/export-source.ts'
import { keepKnownPeers, loadKnownPeers } from './node/known-peers.ts'
import { clientHeartbeat, KnownFacts, type LivenessFacts, RENEW, serverHeartbeat } from './node/liveness.ts'
import { loadNodeId } from './node/node-id.ts'
import { OnlyProcess } from './node/only-process.ts'
import { OnlyServer, STORE, UPTIME } from './node/only-server.ts'
import { Replicas } from './node/replicas.ts'
import type { NodeOptions, RunningNode } from './node/running-node.ts'
import { createLiveness, openServerSide, registerServer, type ServerSide, startDuties } from './node/server-side.ts'
import { StopStack } from './node/stop-stack.ts'
import { VERSION } from './node/version.ts'
import type { AgentSelf } from './resolver/agent-door.ts'
import { createMesh, type RunningMesh } from './resolver/door.ts'
import { SERVED } from './resolver/forward.ts'
import { anonymous } from './resolver/mesh.ts'
import { checkProbes } from './runtime/check-probes.ts'
import { hostReport, processMemory } from './runtime/host-report.ts'
import { LogTap } from './runtime/log-tap.ts'
import { pinoLogger } from './runtime/logger.ts'
import type { Logger, Runtime } from './runtime/ports.ts'
import { currentRuntime } from './runtime/runtime.ts'
import { MANAGED } from './store/address.ts'
import type { ManagedEnd } from './store/managed/managed.ts'
import { isShared } from './store/open.ts'

export type { NodeOptions, RunningNode } from './node/running-node.ts'

/** What every part is made with. */
interface Frame {
  readonly config: Config
  readonly runtime: Runtime
  readonly logger: Logger
  /** Who follows the log; undefined where that is not ours. */
  readonly tap: LogTap | undefined
  readonly name: string
  readonly nodeId: string
  readonly bootId: string
  readonly parts: StopStack
  /** Where this node listens: a port of 0 and no addresses until it does. */
  readonly ports: { http: number; libp2p: number }
  readonly listening: { addresses: readonly string[] }
}

/** Rejects with AtollError 'invalid' (naming the field) for what the configuration gets wrong, addresses in use among it. */
export async function startNode(input: ConfigInput, options: NodeOptions = {}): Promise<RunningNode> {
  const config = parseConfig(input)
  const runtime = await currentRuntime()
  const { clock, random, disk } = runtime
  const name = nodeNameOf(config, hostname())
  const { level } = config.log
  const tap = options.logger ? undefined : new LogTap(level)
  const format = config.log.format === 'json' ? 'json' : 'line'
  const logger = options.logger ?? pinoLogger({ level, format, name, tap })
  const parts = new StopStack(clock, logger)
  try {
    const nodeId = await loadNodeId(disk, random, config.dataDirectory, config.nodeId)
    const ports = { http: config.http.port, libp2p: config.federation.port }
    const listening = { addresses: [] }
    const frame: Frame = { config, runtime, logger, tap, name, nodeId, bootId: random.uuid(), parts, ports, listening }
    return await startParts(frame, options)
  } catch (error) {
    await parts.stop()
    throw error
  }
}

async function startParts(frame: Frame, options: NodeOptions): Promise<RunningNode> {
  const { config, runtime, logger, parts } = frame
  const isServer = config.server || config.dev
  const [host, server] = await startBase(frame, options)
  const replicas = new Replicas(logger)
  const process = new OnlyProcess(runtime.clock)
  const federation = await startFederation(frame, host, server, replicas, process)
  const only = server && watchOnlyServer(frame, federation, server)
  const self = selfOf(frame, host)
  const mesh: { door?: RunningMesh } = {}
  const agent = await startAgent(frame, self(), mesh)
  const facts = new KnownFacts()
  startLiveness(frame, { federation, server, agent, facts })
  startDistance(frame, federation, server)
  const stopped = Promise.withResolvers<void>()
  stopped.promise.catch(() => {})
  const stop = (): Promise<void> => parts.stop().finally(stopped.resolve)
  const definitions = async () => localDefinitions((await options.readDefinitions?.()) ?? [])
  const reload = async (): Promise<void> => {
    await agent.applyDefinitions(await definitions())
    agent.resync()
  }
  const depart = async (): Promise<void> => {
    // A node that nobody answers leaves too; its lease lapses.
    await agent.deregisterNode().catch((error: unknown) => {
      logger.warn({ reason: messageOf(error) }, 'this node leaves without being deregistered')
    })
    await federation.leave()
  }
  const door = agentDoorOf({
    agent,
    federation,
    view: server?.catalog.view,
    self,
    factsOf: (nodeId) => facts.get(nodeId),
    deregister: async (node) => void (await mesh.door!.execute({ kind: 'deregister', node }, { principal: anonymous })),
    // After the answer to who asked for it.
    stop: () => depart().finally(() => void runtime.clock.after(100, () => void stop())),
    reload,
  })
  mesh.door = createMesh({
    datacenter: config.datacenter,
    nodeName: frame.name,
    runtime: runtime.name,
    agent: door,
    catalog: server?.catalog,
    federation,
    replica: (datacenter) => replicas.view(datacenter),
    clock: runtime.clock,
    random: runtime.random,
    failover: config.federation.failover,
    flatNetwork: config.federation.flatNetwork,
    serverAddress: serverAddressOf(frame),
    ...(server && isShared(config.store) && { leader: () => server.catalog.view.signals.leader?.address }),
  })
  parts.push('resolver', () => mesh.door!.close())
  await agent.start(await definitions())
  if (server) await registerServer(server.catalog, self())
  runtime.releaseMemory?.()
  const garbage = runtime.boundGarbage?.()
  parts.push('garbage', async () => garbage?.cancel())
  const http = await startHttp(frame, mesh.door)
  const dns = await startDns(frame, mesh.door)
  for (const one of [only, process]) one?.assert((refusal) => void parts.stop().finally(() => stopped.reject(refusal)))
  logger.info(
    { http: http.port, dns: dns?.port, addresses: host.addresses, server: isServer, version: VERSION },
    'ready',
  )
  return {
    node: frame.name,
    datacenter: config.datacenter,
    peerId: host.self.peerId,
    addresses: host.addresses,
    http: { host: http.hostname, port: http.port },
    httpAddress: `http://${http.hostname.includes(':') ? `[${http.hostname}]` : http.hostname}:${http.port}`,
    dns: dns && { host: dns.hostname, port: dns.port },
    ended: stopped.promise,
    reload,
    leave: () => depart().finally(stop),
    stop,
  }
}

function watchOnlyServer(
  { config, runtime, nodeId, logger, parts }: Frame,
  federation: Federation,
  { store }: ServerSide,
): OnlyServer {
  const { datacenter } = config
  const sharedStore = isShared(config.store) ? () => store.epoch.random : undefined
  const only = new OnlyServer({ federation, datacenter, nodeId, clock: runtime.clock, logger, sharedStore })
  parts.push('only server', () => only.close())
  return only
}

/** A store of the servers' own needs the mesh first; any other starts beside it. */
async function startBase(frame: Frame, options: NodeOptions): Promise<[Host, ServerSide | undefined]> {
  const { config, runtime, logger, parts, name } = frame
  if (!config.server && !config.dev) return [await startHost(frame, options), undefined]
  if (config.store.url !== MANAGED) return bothOf(startHost(frame, options), startServerSide(frame))
  const host = await startHost(frame, options)
  const { startManagedStore } = await import('./node/managed-store.ts')
  const signal = options.signal ?? new AbortController().signal
  const etcd = logger.child({ part: 'etcd' })
  const address = addressOf(frame)
  const managed = await startManagedStore({ ...runtime, config, name, address, host, logger: etcd, signal })
  parts.push('etcd', () => managed.stop())
  return [host, await startServerSide(frame, managed)]
}

/** Side by side; where one fails, the other is waited for: it may come up, and then has to be stopped. */
async function bothOf<A, B>(a: Promise<A>, b: Promise<B> | undefined): Promise<[A, B | undefined]> {
  await Promise.allSettled([a, b])
  return [await a, await b]
}

async function startServerSide(frame: Frame, managed?: ManagedEnd): Promise<ServerSide> {
  const { config, runtime, logger, parts } = frame
  const server = await openServerSide({ config, ...runtime, logger, managed })
  parts.push('store', () => server.store.close())
  parts.push('catalog', () => server.catalog.close())
  keepBackups(frame, server)
  return server
}

function keepBackups({ config, runtime, logger, parts }: Frame, { catalog }: ServerSide): void {
  const { everyMs, kept } = config.store.backups
  if (config.dataDirectory === undefined || config.dev || everyMs === 0) return
  const directory = runtime.disk.join(config.dataDirectory, 'backups')
  const backups = new Backups({ ...runtime, save: () => catalog.save(), directory, everyMs, kept, logger })
  parts.push('backups', () => backups.close())
}

async function startHost(frame: Frame, { wrapTransport }: NodeOptions): Promise<Host> {
  const { config, runtime, logger, parts } = frame
  const { clock, random, disk } = runtime
  const { federation, dataDirectory } = config
  const identity =
    dataDirectory === undefined ? freshIdentity(random) : await loadIdentity({ disk, directory: dataDirectory, random })
  const host = await openHost({
    identity,
    authority: devAuthority(federation.mesh),
    self: {
      datacenter: config.datacenter,
      node: frame.name,
      nodeId: frame.nodeId,
      role: config.server || config.dev ? 'server' : 'client',
    },
    listen: { host: federation.host, port: federation.port },
    ...(federation.advertise.length > 0 && { announce: announcedAddresses(federation.advertise, federation.port) }),
    clock,
    random,
    logger: logger.child({ part: 'libp2p' }),
    wrapTransport,
  })
  parts.push('libp2p', () => host.close())
  frame.ports.libp2p = Number(/\/tcp\/(\d+)/.exec(host.addresses[0] ?? '')?.[1] ?? federation.port)
  frame.listening.addresses = host.addresses
  // Peers are there before the catalog is: they shall try again, and not take this server for one that knows none of it.
  if (host.self.role === 'server') {
    for (const method of [...SERVED, RENEW, MEMBERS, UPTIME, STORE]) host.handle(method, notYet)
  }
  return host
}

const notYet = async (): Promise<never> => {
  throw new AtollError('unavailable', 'this server is starting; try again in a moment')
}

async function startFederation(
  frame: Frame,
  host: Host,
  server: ServerSide | undefined,
  replicas: Replicas,
  process: OnlyProcess,
): Promise<Federation> {
  const { config, runtime, logger, parts } = frame
  const { clock, random, disk } = runtime
  const knownPeers = await loadKnownPeers(disk, config.dataDirectory, logger)
  const federation = await openFederation({
    host,
    clock,
    random,
    logger: logger.child({ part: 'federation' }),
    ...(server && { source: exportSourceOf(server.store) }),
    sinkFor: (datacenter) => replicas.sinkFor(datacenter),
    joinAddresses: config.federation.join,
    knownPeers,
    ...(config.dataDirectory !== undefined && {
      replicaFiles: { disk, directory: disk.join(config.dataDirectory, 'replicas') },
    }),
    // Above what waits elsewhere (MAX_WAITING of the resolver), so that everything else has room.
    limits: { maxInFlightPerPeer: 4_000 },
    onOwnDatacenterAhead: async ({ generation }) => {
      if (server) await server.catalog.raiseGeneration(generation + 1)
    },
    onKeyInUse: (message) => process.refused(message),
  })
  parts.push('federation', () => federation.close())
  if (config.dataDirectory !== undefined) {
    const kept = keepKnownPeers({ disk, directory: config.dataDirectory, federation, clock, logger })
    parts.push('known peers', () => kept.stop())
  }
  return federation
}

const timesOf = ({ preset, dev }: Config) => PRESETS[preset ?? (dev ? 'dev' : 'lan')]

const addressOf = ({ config, listening }: Frame): string =>
  catalogAddress({
    configured: config.address,
    advertise: config.federation.advertise,
    listening: config.federation.host,
    addresses: listening.addresses,
  })

const serverAddressOf = (frame: Frame): string => hostAndPort(addressOf(frame), frame.ports.libp2p)

const selfOf = (frame: Frame, host: Host) => (): AgentSelf => {
  const { config, runtime, name, nodeId } = frame
  const address = addressOf(frame)
  return {
    nodeId,
    node: name,
    datacenter: config.datacenter,
    server: config.server || config.dev,
    version: VERSION,
    runtime: runtime.name,
    address,
    taggedAddresses: taggedAddressesOf(address, config.taggedAddresses),
    meta: { 'consul-network-segment': '', 'consul-version': VERSION, ...config.nodeMeta },
    peerId: host.self.peerId,
    addresses: host.addresses,
    ports: { ...frame.ports },
  }
}

async function startAgent(frame: Frame, self: AgentSelf, mesh: { door?: RunningMesh }): Promise<LocalAgent> {
  const { config, runtime, logger, parts } = frame
  const { clock, random, disk } = runtime
  const agent = createAgent({
    node: {
      id: self.nodeId,
      node: self.node,
      address: self.address,
      taggedAddresses: self.taggedAddresses,
      meta: self.meta,
    },
    clock,
    random,
    disk,
    probes: checkProbes(await readCheckAuthorities(disk, config.checks.caFile)),
    readNode: async (node, signal) => {
      const asked = await mesh.door!.ask(
        { kind: 'node', node },
        { principal: anonymous, consistency: 'default', signal },
      )
      return asked.value && aliasedNodeOf(asked.value)
    },
    scripts: config.checks.scripts,
    outputMaxBytes: config.checks.outputMaxBytes,
    logger: logger.child({ part: 'agent' }),
    dataDirectory: config.dataDirectory === undefined ? undefined : disk.join(config.dataDirectory, 'agent'),
    syncIntervalMs: timesOf(config).syncIntervalMs,
    checkUpdateIntervalMs: config.checks.updateIntervalMs,
    execute: (command, { signal }) => mesh.door!.execute(command, { principal: anonymous, signal }),
  })
  parts.push('agent', () => agent.stop())
  return agent
}

function startLiveness(
  frame: Frame,
  {
    federation,
    server,
    agent,
    facts,
  }: { federation: Federation; server: ServerSide | undefined; agent: LocalAgent; facts: KnownFacts },
): void {
  const { config, runtime, logger, parts } = frame
  const { clock, random } = runtime
  const times = timesOf(config)
  const self: LivenessFacts = {
    nodeId: frame.nodeId,
    node: frame.name,
    bootId: frame.bootId,
    runtime: runtime.name,
    version: VERSION,
  }
  const common = {
    federation,
    datacenter: config.datacenter,
    clock,
    random,
    logger,
    periodMs: times.renewMs,
    self,
    onServerChanged: () => agent.resync(),
  }
  if (server === undefined) {
    const heartbeat = clientHeartbeat(common)
    parts.push('heartbeat', () => heartbeat.stop())
    return
  }
  const { store, catalog } = server
  const leaseMs = times.nodeLeaseMs
  const leader = logger.child({ part: 'leader' })
  const duties = startDuties({
    store,
    catalog,
    clock,
    random,
    logger: leader,
    leaseMs,
    self: { serverId: frame.nodeId, address: serverAddressOf(frame) },
  })
  parts.push('duties', () => duties.close())
  const liveness = createLiveness({
    store,
    catalog,
    clock,
    logger: leader,
    server: frame.nodeId,
    leaseMs,
    renewEveryMs: times.renewMs,
    goneGraceMs: times.connectionGraceMs,
  })
  parts.push('liveness', () => liveness.close())
  const heartbeat = serverHeartbeat({ ...common, liveness, view: catalog.view, facts })
  parts.push('heartbeat', () => heartbeat.stop())
}

function startDistance(frame: Frame, federation: Federation, server: ServerSide | undefined): void {
  const { config, runtime, logger, parts, name: node, nodeId } = frame
  const { clock, random } = runtime
  const writer =
    server &&
    new CoordinateWriter({
      view: server.catalog.view,
      write: (rows) => server.catalog.execute({ kind: 'coordinate-batch', rows }),
      clock,
      logger,
    })
  const distance = new NodeDistance({
    federation,
    datacenter: config.datacenter,
    self: { node, nodeId },
    clock,
    random,
    logger,
    ...(writer && { report: (...told) => writer.put(...told) }),
  })
  parts.push('distance', () => {
    distance.close()
    writer?.close()
  })
}

async function startHttp(frame: Frame, mesh: RunningMesh): Promise<{ hostname: string; port: number }> {
  const { config, runtime, logger, tap, parts } = frame
  const { clock, random } = runtime
  const app = createApp({
    mesh,
    clock,
    random,
    logger: logger.child({ part: 'http' }),
    version: VERSION,
    machine: {
      report: () => hostReport(config.dataDirectory ?? '.'),
      memory: processMemory,
      metricsHost: config.dev ? '' : hostname(),
      log: tap,
    },
    limits: { maxBlockingQueries: config.http.maxBlockingQueries, maxWatchers: config.http.maxWatchStreams },
  })
  const http = await runtime.serveHttp({
    hostname: config.http.host,
    port: config.http.port,
    fetch: (request, info) => app.fetch(request, info),
    ready: (target, acceptEncoding) => app.ready(target, acceptEncoding),
    put: app.put,
    maxBodyBytes: 2 * 1024 * 1024,
    large: { path: '/v1/snapshot', maxBodyBytes: 512 * 1024 * 1024 },
    headersTimeoutMs: 10_000,
  })
  parts.push('http', () => {
    app.close()
    return http.close(1_000)
  })
  frame.ports.http = http.port
  return http
}

async function startDns(frame: Frame, mesh: RunningMesh): Promise<RunningDnsServer | undefined> {
  const { config, runtime, parts } = frame
  if (!config.dns.enabled) return undefined
  const dns = await startDnsServer({ mesh, runtime, settings: config.dns })
  parts.push('dns', () => dns.close())
  return dns
}
