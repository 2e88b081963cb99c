/**
 * The one schema of a node's configuration, whether it comes from a file, the environment or flags. Each field says
 * what it means, in which unit, its default, and what it costs. `preset` sets the times that depend on the network.
 */
import * as z from 'zod'
import { AtollError } from './model/errors.ts'
import { parseStoreUrl } from './store/address.ts'

const port = z.number().int().min(0).max(65_535)
const name = z
  .string()
  .regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$/, 'use 1 to 128 letters, digits, ".", "-" and "_"')
const datacenterName = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$/, 'use 1 to 63 of a-z, 0-9, "-" and "_"')
  .refine((value) => value !== 'nearest', '"nearest" means something else in ?dc=')

/** Times that depend on how far nodes are apart. `dev`: one machine; `lan`: one datacenter; `wan`: nodes of one DC far apart. */
export const PRESETS = {
  dev: { nodeLeaseMs: 8_000, renewMs: 2_000, connectionGraceMs: 1_000, syncIntervalMs: 30_000 },
  lan: { nodeLeaseMs: 8_000, renewMs: 2_000, connectionGraceMs: 1_000, syncIntervalMs: 60_000 },
  wan: { nodeLeaseMs: 24_000, renewMs: 6_000, connectionGraceMs: 4_000, syncIntervalMs: 120_000 },
} as const

const peerAddress = z
  .string()
  .regex(
    /^(?:\/(?:ip4|ip6|dns|dns4|dns6)\/[^/\s]+\/tcp\/\d{1,5}(?:\/p2p\/\w+)?|(?:\[[0-9a-fA-F:.]+\]|[^:/\s[\]]+):\d{1,5})$/,
    'use host:port, or a multiaddr like /ip4/10.0.0.1/tcp/8300',
  )

const httpSchema = z
  .strictObject({
    /** Address that the API listens on. The API has no access control yet: anything but loopback is open to whoever reaches it. */
    host: z.string().min(1).default('127.0.0.1'),
    /** 0 picks a free port. */
    port: port.default(8500),
    /** Blocking queries held at once; each costs about 2 KB. More get a 429. */
    maxBlockingQueries: z.number().int().min(1).max(1_000_000).default(10_000),
    /** Server-Sent-Event streams held at once; each may buffer up to 64 KB. */
    maxWatchStreams: z.number().int().min(1).max(100_000).default(1_000),
  })
  .prefault({})

const seconds = z.number().int().min(0).max(2_147_483_647)
const milliseconds = (max: number) => z.number().int().min(1).max(max)
/** Networks that are not on the Internet: nobody there is flooded from outside by forged queries. */
const PRIVATE_NETWORKS = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  '::1/128',
  'fc00::/7',
  'fe80::/10',
]

const dnsSchema = z
  .strictObject({
    /** Whether names are answered at all. */
    enabled: z.boolean().default(true),
    /** Address that DNS listens on, by UDP and TCP. */
    host: z.string().min(1).default('127.0.0.1'),
    /** 0 picks one that is free for both. */
    port: port.default(8600),
    /** Domains that are answered; names for addresses (PTR) are in the first. */
    domains: z
      .array(
        z
          .string()
          .regex(
            /^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,8}\.?$/,
            'use labels of letters, digits, "-" and "_" with dots between them',
          )
          .transform((domain) => domain.replace(/\.$/, '').toLowerCase()),
      )
      .min(1)
      .max(8)
      .default(['atoll', 'consul']),
    /** Resolvers for all other names, as address or address:port, asked in order; without any, other names are refused. */
    recursors: z.array(z.string().min(1)).max(8).default([]),
    /** How long each recursor is waited for. */
    recursorTimeoutMs: milliseconds(10_000).default(2_000),
    /** Look-ups that wait for recursors or servers at once; each costs a few KB. More get a SERVFAIL. */
    maxPending: z.number().int().min(1).max(100_000).default(1_000),
    /** How long answers may be kept by who asked. 0: not at all, so that a change counts at once. */
    ttlSeconds: z
      .strictObject({
        node: seconds.default(0),
        /** By service: a name, the beginning of one (`web*`), or `*`; the longest that fits counts. */
        service: z.record(z.string().min(1).max(255), seconds).default({}),
      })
      .prefault({}),
    /** What the SOA record says; `minimumSeconds` is how long "no such name" may be kept. */
    soa: z
      .strictObject({
        refreshSeconds: seconds.default(3_600),
        retrySeconds: seconds.default(600),
        expireSeconds: seconds.default(86_400),
        minimumSeconds: seconds.default(0),
      })
      .prefault({}),
    /** Leave out instances in the state warning. */
    onlyPassing: z.boolean().default(false),
    /** Mark answers that were cut (TC), so that clients ask again by TCP. */
    truncate: z.boolean().default(true),
    /** Most addresses in one answer; 0: as many as fit. */
    addressLimit: z.number().int().min(0).max(1_000).default(0),
    /** Tell the meta data of nodes as TXT beside their addresses; costs room in the answer. */
    nodeMetaTxt: z.boolean().default(true),
    /** Largest answer by UDP, for clients that take so much (EDNS). Above 1,232, answers come in fragments. */
    maxUdpBytes: z.number().int().min(512).max(65_000).default(8_192),
    /** TCP connections at once; each costs about 10 KB. More are closed. */
    maxTcpConnections: z.number().int().min(1).max(100_000).default(1_000),
    /** A TCP connection without queries is closed after so long. */
    tcpIdleMs: milliseconds(600_000).default(10_000),
    rateLimit: z
      .strictObject({
        /** Answers by UDP a second to one network (/24, /56) that is not exempt; 0: no limit. */
        responsesPerSecond: z.number().int().min(0).max(10_000_000).default(500),
        /** Networks without a limit, as CIDR; the private ones unless given. */
        exempt: z.array(z.string()).max(64).default(PRIVATE_NETWORKS),
      })
      .prefault({}),
  })
  .prefault({})

const federationSchema = z
  .strictObject({
    /** Address that libp2p listens on. */
    host: z.string().min(1).default('127.0.0.1'),
    /** 0 picks a free port. */
    port: port.default(8300),
    /** Host names or addresses, or whole multiaddrs, under which others reach this node; the listening address unless given. */
    advertise: z.array(z.string().min(1)).default([]),
    /** Peers of the mesh: multiaddrs or host:port. Tried again for as long as none was reached. */
    join: z.array(peerAddress).max(64).default([]),
    /** Only nodes of the same mesh talk to each other. */
    mesh: name.default('atoll'),
    /** Declares that every address of every DC can be reached from every other, so that failover needs no `wan` address. */
    flatNetwork: z.boolean().default(false),
    /** Whether plain `?passing` lookups may be answered by the nearest other DC when nothing passes at home. */
    failover: z.boolean().default(true),
  })
  .prefault({})

const storeSchema = z
  .strictObject({
    /**
     * Where a server keeps the catalog: `embedded` in the data directory, for a DC with one server; or an etcd cluster
     * (3.4 or later), which any number of servers share: `etcd:managed`, which the servers run themselves, or yours as etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379/prefix, with TLS
     * etcds://. The prefix is atoll/<datacenter> unless given; DCs on one etcd need one each. A write then costs a round trip to etcd
     * and its disks, and default reads share one.
     */
    url: z.string().min(1).max(4096).default('embedded'),
    /** etcd's user; its role must read and write the prefix, and the root role lets Atoll compact and make room. */
    user: z.string().min(1).optional(),
    password: z.string().optional(),
    tls: z
      .strictObject({
        /** PEM file of who signed the members' certificates; the machine's own authorities unless given. */
        ca: z.string().min(1).optional(),
        /** PEM files of the certificate and key by which etcd knows this server. */
        cert: z.string().min(1).optional(),
        key: z.string().min(1).optional(),
        /** Name in the members' certificates, where that is not the host that is dialled. Needed on Deno and Bun for bare addresses. */
        serverName: z.string().min(1).optional(),
      })
      .prefault({}),
    /** Of `etcd:managed`, where each server runs a member of etcd itself. */
    managed: z
      .strictObject({
        /** Members that the datacenter shall have: the same on all its servers. One survives nothing, three the loss of one, five of two. */
        servers: z
          .number()
          .int()
          .min(1)
          .max(7)
          .refine(
            (value) => value % 2 === 1,
            'use 1, 3, 5 or 7: an even number survives no more than the odd one below',
          )
          .default(3),
        /** Path of etcd (3.4 or later), or its name on the PATH. */
        etcdBin: z.string().min(1).default('etcd'),
        /** Port of the member for its servers and for the other members; where it is taken at the first start a free one, which is kept. */
        clientPort: port.default(2379),
        peerPort: port.default(2380),
      })
      .prefault({}),
    /** Archives of the catalog in the folder `backups` of a server's data directory, as `atoll snapshot save` makes them. */
    backups: z
      .strictObject({
        /** From one to the next; 0: none are made. A catalog that did not change is not written again. */
        everyMs: z
          .number()
          .int()
          .max(30 * 86_400_000)
          .refine((value) => value === 0 || value >= 1_000, 'at least 1000, or 0 for none')
          .default(3_600_000),
        /** So many stay, the newest. */
        kept: z.number().int().min(1).max(1_000).default(24),
      })
      .prefault({}),
    /** Of the embedded store: revisions kept for watchers and repair by delta; each costs the size of its change on disk. */
    historyRevisions: z.number().int().min(100).max(10_000_000).default(100_000),
  })
  .prefault({})

const leaveSchema = z
  .strictObject({
    /** Whether SIGINT takes the node out of the catalog before it ends, with all that is registered with it. */
    onInterrupt: z.boolean().default(false),
    /** The same for SIGTERM. */
    onTerminate: z.boolean().default(false),
  })
  .prefault({})

const checksSchema = z
  .strictObject({
    /**
     * Who may make this node run commands as checks, with the rights of its process: nobody (`off`), its own
     * configuration files (`local`), or whoever reaches the API too (`on`).
     */
    scripts: z.enum(['off', 'local', 'on']).default('off'),
    /** PEM file of the authorities that TLS checks trust, instead of the machine's own. */
    caFile: z.string().min(1).optional(),
    /** About how long a change of a check's output alone is held back from the catalog, each a write; 0: not at all. */
    updateIntervalMs: z.number().int().min(0).max(86_400_000).default(300_000),
    /** What is kept of an output, unless a check says otherwise; it is stored, and sent to the catalog. */
    outputMaxBytes: z.number().int().min(1).max(65_536).default(4_096),
  })
  .prefault({})

const logSchema = z
  .strictObject({
    level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('warn'),
    /** `text` for people, `json` for machines. */
    format: z.enum(['text', 'json']).default('text'),
  })
  .prefault({})

export const configSchema = z.strictObject({
  /** A server with a store in memory, for trying things out: nothing is kept, also where `dataDirectory` is set. */
  dev: z.boolean().default(false),
  /** Servers hold the catalog; others are clients and need a server of their DC to join. */
  server: z.boolean().default(false),
  datacenter: datacenterName.default('dc1'),
  /** Name of this node, unique in its DC; the host's name unless given. */
  node: name.optional(),
  /** UUID of this node; made and kept in `dataDirectory` unless given. A copy of it on another node takes this one's place. */
  nodeId: z
    .string()
    .regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'use a UUID in lower case')
    .optional(),
  /** Address of this node as the catalog shows it; the libp2p address unless given. */
  address: z.string().min(1).optional(),
  /** Addresses by network; `wan` is used by lookups from other DCs. */
  taggedAddresses: z.record(z.string(), z.string()).default({}),
  nodeMeta: z.record(z.string().max(128), z.string().max(512)).default({}),
  /** Identity, store and registrations of this node. Needed unless `dev`. */
  dataDirectory: z.string().min(1).optional(),
  preset: z.enum(['dev', 'lan', 'wan']).optional(),
  /** Holds the process's id while the node runs. */
  pidFile: z.string().min(1).optional(),
  leave: leaveSchema,
  checks: checksSchema,
  http: httpSchema,
  dns: dnsSchema,
  federation: federationSchema,
  store: storeSchema,
  log: logSchema,
})

export type Config = z.output<typeof configSchema>
export type ConfigInput = z.input<typeof configSchema>

/** The configured name, or the host's where that can be one. Throws AtollError 'invalid'. */
export function nodeNameOf(config: Pick<Config, 'node'>, hostname: string): string {
  const wanted = config.node ?? hostname
  if (name.safeParse(wanted).success) return wanted
  throw new AtollError('invalid', `node: the host's name "${wanted}" cannot be a node's; give --node`, {
    field: 'node',
  })
}

/** Fills in defaults. Throws AtollError 'invalid', naming every wrong field. */
export function parseConfig(input: unknown): Config {
  const parsed = configSchema.safeParse(input)
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'configuration'}: ${issue.message}`)
    throw new AtollError('invalid', problems.join('; '), { field: parsed.error.issues[0]?.path.join('.') })
  }
  const config = parsed.data.dev ? { ...parsed.data, dataDirectory: undefined } : parsed.data
  if (!config.dev && config.dataDirectory === undefined) {
    throw new AtollError(
      'invalid',
      'dataDirectory: a node keeps its identity and data in a folder; give --data-dir, or --dev to keep nothing',
      { field: 'dataDirectory' },
    )
  }
  assertStore(config)
  if (!config.server && !config.dev && config.federation.join.length === 0) {
    throw new AtollError(
      'invalid',
      'federation.join: a client needs a server of its datacenter to join; give --join, or --server to be one',
      { field: 'federation.join' },
    )
  }
  return config
}

function assertStore({ store, datacenter, dev, server }: Config): void {
  if (store.url === 'embedded') return
  parseStoreUrl(store.url, datacenter)
  const refused = dev
    ? 'a --dev server keeps nothing; give --server and --data-dir instead'
    : server
      ? undefined
      : 'a client has no store; give --server'
  if (refused) throw new AtollError('invalid', `store.url: ${refused}`, { field: 'store.url' })
}
