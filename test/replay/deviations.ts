/**
 * Where Atoll answers otherwise than Consul, on purpose, and why. The replay accepts these and nothing else;
 * docs/consul-compatibility.md shows this table.
 */
import type { Scenario } from './recording.ts'
import type { Difference } from './replay.ts'

export interface Deviation {
  readonly area: string
  readonly what: string
  readonly why: string
  readonly where: readonly Where[]
  /** Seen on these runtimes only; on all unless given. */
  readonly runtimes?: readonly ('node' | 'deno' | 'bun')[]
}

/** A difference is covered when all that is given matches. */
export interface Where {
  readonly scenario?: Scenario
  /** Of `METHOD path`. */
  readonly request?: RegExp
  /** Of the step's name. */
  readonly step?: RegExp
  /** `status`, `header x-...`, `index`, `elapsed`, or a path in the body. */
  readonly at?: RegExp
}

const LATER = /^\w+ \/v1\/acl\b/
const CONNECT = /^\w+ \/v1\/(connect|discovery-chain|agent\/connect)\b/

export const deviations: readonly Deviation[] = [
  {
    area: 'Everything',
    what: 'ACLs are not there: 401 `ACL support disabled` under `/v1/acl/`',
    why: 'They are for later versions',
    where: [{ request: LATER }],
  },
  {
    area: 'Service mesh',
    what: 'Everything under `connect`, `agent/connect` and `discovery-chain` answers as a Consul with Connect off: 500 `Connect must be enabled in order to use this endpoint`',
    why: 'Atoll has no service mesh',
    where: [{ request: CONNECT }],
  },
  {
    area: 'Service mesh',
    what: 'There are no configuration entries: lists are empty, single ones are missing, deletions do nothing, and writing one is a 501 that names its kind. There are no federation states either',
    why: 'They configure the service mesh',
    where: [{ request: /^\w+ \/v1\/config\b/ }, { request: /federation-states$/, at: /\(length\)$/ }],
  },
  {
    area: 'Operator',
    what: "The configuration of autopilot is fixed: writing what is so already is taken, a change is a 501 that names the field. `LastTerm` and `LastIndex` of servers are the store's generation and index, `StableSince` is when the node that was asked began, and of servers elsewhere no version is known",
    why: 'There is no Raft to steer',
    where: [
      { request: /autopilot\/configuration/ },
      { request: /autopilot\/health/, at: /^body\.Servers\[\d+\]\.(Version|LastTerm|LastIndex)$/ },
    ],
  },
  {
    area: 'Everything',
    what: 'JSON is indented for `?pretty` only, not because the node was started with `--dev`',
    why: 'What is tried out should be what runs later',
    where: [{ scenario: 'checks', at: /^body.*\.Output$/, step: /^(after 3 s|catalog view)$/ }],
  },
  {
    area: 'Everything',
    what: '`/` is answered as by a Consul without its UI (200 `Consul Agent: UI disabled.`), then in other words',
    why: 'There is no page at `/ui/` to lead to',
    where: [{ step: /^(path \/|browser user agent at \/)$/ }],
  },
  {
    area: 'Everything',
    what: 'A malformed escape in a path is a 400 with the headers of every other answer; there is no `/debug/pprof/`; robots.txt is our own',
    why: 'Nothing depends on it',
    where: [
      { step: /^bad escape$/, at: /^header x-consul-default-acl-policy$/ },
      { request: /^GET \/(debug\/pprof\/|robots\.txt)$/ },
    ],
  },
  {
    area: 'Everything',
    what: 'A path with raw bytes beyond ASCII is a 400: clients have to escape them, as all common ones do',
    why: "Node's parser refuses them before Atoll sees them",
    runtimes: ['node'],
    where: [
      { scenario: 'kv', step: /^(put raw utf-8 path|get %C3%BC)$/ },
      { scenario: 'kv', step: /^keys now$/, at: /^body/ },
    ],
  },
  {
    area: 'Everything',
    what: 'A method that HTTP does not know is refused by the server (400, or the connection is closed) instead of with a 405',
    why: "Node's and Bun's parsers refuse it before Atoll sees it",
    runtimes: ['node', 'bun'],
    where: [{ request: /^BOGUS / }],
  },
  {
    area: 'Everything',
    what: 'Dot segments in a path are resolved instead of answered with a 301 to the resolved path',
    why: 'Bun resolves them before Atoll sees them',
    runtimes: ['bun'],
    where: [
      { step: /^(put dot segments|put dot key|path \/v1\/catalog\/\.\.)/ },
      { scenario: 'kv', step: /^keys now$/, at: /^body/ },
    ],
  },
  {
    area: 'Everything',
    what: 'The index of a node that is gone does not fall back to 1',
    why: 'An index never goes back in Atoll, so no client has to start over',
    where: [{ scenario: 'catalog', step: /^node-b after its id moved$/, at: /^index$/ }],
  },
  {
    area: 'Several datacenters',
    what: 'A read with `?dc=` of another datacenter is answered from the replica on this node: `X-Consul-Effective-Consistency` is `stale` and `X-Consul-LastContact` its age; `?consistent` asks the datacenter itself',
    why: 'It takes no WAN round trip and goes on while the WAN is cut',
    where: [{ scenario: 'multi-dc', request: /dc=dc2/, at: /^header x-consul-effective-consistency$/ }],
  },
  {
    area: 'Several datacenters',
    what: '`?dc=` of a write to the catalog is obeyed where the body names no datacenter',
    why: 'Consul ignores it silently, so that registrations land in the wrong datacenter',
    where: [{ scenario: 'multi-dc', step: /^nodes dc2 after$/, at: /^body/ }],
  },
  {
    area: 'Several datacenters',
    what: 'A name that no datacenter can have (upper case, dots) is a 400 that says so; an unknown one is `No path to datacenter` as in Consul',
    why: 'A mistyped name is not a lost datacenter',
    where: [{ scenario: 'multi-dc', step: /^dc in upper case$/ }],
  },
  {
    area: 'Several datacenters',
    what: 'Filters are applied by the node that was asked, so their errors lack the prefix `rpc error making call: `',
    why: 'No other node is asked',
    where: [{ scenario: 'multi-dc', step: /^bad filter across$/ }],
  },
  {
    area: 'Several datacenters',
    what: 'Members that left are not listed any more',
    why: 'Nothing is kept of them',
    where: [{ scenario: 'multi-dc', step: /^members wan after$/, at: /\(length\)$/ }],
  },
  {
    area: 'Agent',
    what: "`agent/self` has `Config`, `Coord`, `Member`, `Meta` and little of `Stats` and `DebugConfig`, and Atoll's own version; it adds `Atoll`",
    why: 'The rest describes parts that Atoll does not have',
    where: [
      {
        request: /^GET \/v1\/agent\/self$/,
        at: /^body\.(DebugConfig|Stats|xDS|Atoll|Config\.Version|Member\.(Port|Tags))\b/,
      },
      { scenario: 'multi-dc', step: /^self of dc2$/, at: /^body \(length\)$/ },
    ],
  },
  {
    area: 'Agent',
    what: 'Members have no tags of Serf and Raft, but `peer_id` and `runtime`; their port is that of libp2p',
    why: 'There is one port, and no Serf behind it',
    where: [
      { request: /^GET \/v1\/agent\/members/, at: /^body\[\d+\]\.(Port|Tags\..*)$/ },
      { scenario: 'exact-text', step: /agent\/members$/, at: /^body\.text$/ },
    ],
  },
  {
    area: 'Agent',
    what: 'The service `consul`, which stands for the servers, has metadata of Atoll, and `Failover` says that its look-ups stay in their datacenter',
    why: 'Clients look for the service; what Raft and Serf say in it, nobody reads',
    where: [
      { step: /^service consul$/, at: /^body\[0\]\.(ServiceMeta|Service\.Meta|Service\.Failover)\b/ },
      { step: /^ui nodes$/, at: /^body\[0\]\.Services\[0\]\.(Meta|Failover)\b/ },
    ],
  },
  {
    area: 'Agent',
    what: '`ContentHash` is another hash',
    why: 'It only tells versions apart',
    where: [{ at: /^(header x-consul-contenthash|body\.ContentHash)$/ }],
  },
  {
    area: 'Agent',
    what: '`agent/metrics` has gauges only, under names of Consul where it has the same one; the format of Prometheus needs not be switched on, and its names have no host name in them',
    why: 'Nothing is counted on the way of a request; who asks for a format wants it',
    where: [
      { request: /^GET \/v1\/agent\/metrics$/, at: /^body/ },
      { request: /^GET \/v1\/agent\/metrics\?format=prometheus$/ },
    ],
  },
  {
    area: 'Agent',
    what: '`agent/host` tells less of memory and processors',
    why: 'What every runtime tells of its machine',
    where: [{ request: /^GET \/v1\/agent\/host$/, at: /^body\.(Memory|CPU\[0\]|Host|Disk)\./ }],
  },
  {
    area: 'Agent',
    what: "Nodes have `consul-version` in their metadata, as since Consul 1.15; it is Atoll's own",
    why: 'Newer clients look for it',
    where: [
      { at: /\b(Meta|NodeMeta)\.consul-version$/ },
      { scenario: 'exact-text', step: /catalog\/nodes$/, at: /^body\.text$/ },
      { scenario: 'dns', step: /^(own node|consul service SRV)$/, at: /^additional$/ },
    ],
  },
  {
    area: 'Agent',
    what: 'A failed join says why in other words',
    why: 'The transport is another',
    where: [{ request: /^PUT \/v1\/agent\/join\// }],
  },
  {
    area: 'Agent',
    what: 'Where a body of the wrong JSON type is refused, the type is named `structs.ServiceDefinition` or `structs.CheckDefinition`',
    why: 'Consul shows the whole Go type that its decoder made up',
    where: [{ scenario: 'errors', request: /^PUT \/v1\/agent\/(service|check)\/register$/, at: /^body\.text$/ }],
  },
  {
    area: 'Checks',
    what: 'The checks in `agent/health/service` are in the order of their ids',
    why: "Consul's order is that of a Go map, so none",
    where: [{ request: /^GET \/v1\/agent\/health\/service\//, at: /Checks\[\d+\]\./ }],
  },
  {
    area: 'Checks',
    what: 'Where several checks fail, an alias names the first of the worst that has an output',
    why: 'Consul names any of them: its order is that of a Go map',
    where: [{ scenario: 'checks', step: /^alias follows$/, at: /^body\.web-alias\.Output$/ }],
  },
  {
    area: 'Catalog',
    what: 'A check needs a CheckID or a Name, and a status of passing, warning or critical',
    why: 'Consul stores any text as a status, and no look-up can mean it then',
    where: [
      { scenario: 'catalog', step: /^check (with a wrong status|without name and id)$/ },
      { scenario: 'catalog', step: /^health of node-a after$/, at: /^body/ },
    ],
  },
  {
    area: 'Catalog',
    what: '`connect` look-ups are empty, whatever proxies are registered',
    why: 'Atoll has no service mesh of its own',
    where: [{ scenario: 'health', step: /^connect with proxy$/, at: /^body/ }],
  },
  {
    area: 'Catalog',
    what: '`coordinate/update` takes effect at once, not in batches after seconds; without `Coord` or `Node` it is a 400',
    why: "Consul's handler panics without a coordinate, and drops one of no node silently",
    where: [
      { scenario: 'coordinates', step: /^(node before the batch|update without coord|update empty node)$/ },
      { scenario: 'errors', step: /^PUT \/v1\/coordinate\/update body null$/ },
    ],
  },
  {
    area: 'Filters',
    what: '`catalog/services` takes one, over the fields of `catalog/service`, as Consul does since 1.16; 1.10 ignores it',
    why: 'Newer clients count on it',
    where: [{ step: /^catalog\/services where /, at: /^body/ }],
  },
  {
    area: 'Filters',
    what: 'A wrong expression is a 400, without the headers about an answer; what is wrong with a match says where it is, too',
    why: 'It is the fault of who asks, as in newer Consuls',
    where: [
      {
        request: /[?&]filter=/,
        at: /^(status|body\.text|header x-consul-(index|knownleader|lastcontact|query-backend|effective-consistency))$/,
      },
    ],
  },
  {
    area: 'Filters',
    what: 'A key that a map lacks matches no regular expression; in Consul it `matches` each, and `not matches` each too',
    why: 'One of the two has to be false',
    where: [{ scenario: 'filter', step: /rack matches "r\[12\]"$/, at: /^body \(length\)$/ }],
  },
  {
    area: 'Prepared queries',
    what: 'What `execute` and `explain` answer has an index, which `?index` waits for; in Consul it is always 1',
    why: 'A client need not ask again and again',
    where: [{ request: /^GET \/v1\/query\/[^/]+\/(execute|explain)/, at: /^(index|body\.Index|body\.text)$/ }],
  },
  {
    area: 'Prepared queries',
    what: 'A 405 below `/v1/query/` names OPTIONS in its Allow, and OPTIONS is answered without a body',
    why: 'As everywhere else',
    where: [
      { request: /^\w+ \/v1\/query\//, at: /^header allow$/ },
      { request: /^OPTIONS \/v1\/query\//, at: /^(body|header content-type)$/ },
    ],
  },
  {
    area: 'Prepared queries',
    what: 'A failover is answered from the replica on this node: `stale`, with its age, and with the address of each instance to use from here',
    why: 'It takes no WAN round trip and goes on while the WAN is cut',
    where: [
      {
        scenario: 'multi-dc',
        step: /^execute (falls over to dc2|nearest)$/,
        at: /^(header x-consul-effective-consistency|body\.(ConsistencyLevel|LastContact|Nodes\[0\]\.(Atoll|Service\.Address)).*)$/,
      },
    ],
  },
  {
    area: 'Sessions and locks',
    what: 'A plain write of a key that is or was a lock keeps its `LockIndex`; Consul sets it to 0',
    why: 'Holders fence with it: a number that goes back protects nothing',
    where: [
      {
        scenario: 'sessions-locks',
        step: /^(lock kept by a plain put|after release|LockIndex 2)$/,
        at: /^body\[0\]\.LockIndex$/,
      },
    ],
  },
  {
    area: 'DNS',
    what: 'An answer holds as many records as fit, at random, and TC where that is not all of them; all of them come by TCP. Consul sends three to clients without EDNS, fewer than fit to others, and no TC. EDNS is always answered',
    why: 'Clients that are told so ask again by TCP; what is cut silently gets no traffic',
    where: [
      { step: /^many (A|SRV|ANY) (udp|edns 512|edns 1232)$/, at: /^(flags|answers|additional|edns)$/ },
      { step: /^SRV udp limit$/, at: /^(answers|additional)$/ },
      { step: /^node ANY$/, at: /^answers$/ },
    ],
  },
  {
    area: 'DNS',
    what: 'An answer holds records of the type that was asked for, and CNAME, only; when there are none, the SOA record is there. Consul answers TXT for a service with addresses, AAAA for an IPv4 `addr` with A, and a reverse name with PTR whatever was asked',
    why: 'Resolvers drop what was not asked for, and keep a negative answer by its SOA record',
    where: [
      {
        step: /^(service TXT|node AAAA of v4|node SRV|node v6 A|node host name CNAME|addr v4 AAAA|addr SRV|ptr as A)$/,
      },
    ],
  },
  {
    area: 'DNS',
    what: 'Names that only have names below them (the domain itself, `service.consul`, `node.consul`) exist, without data',
    why: 'Resolvers may take it that below a name that does not exist there is nothing (RFC 8020)',
    where: [{ step: /^(ANY of the domain|A of the domain|service\.consul A|node\.consul A)$/, at: /^rcode$/ }],
  },
  {
    area: 'DNS',
    what: 'An `addr` that is no address does not exist',
    why: 'As any other name that is none',
    where: [{ step: /^addr bad length$/ }],
  },
  {
    area: 'DNS',
    what: 'Meta data of a node stands beside a SRV record only where that has the name of the node for target',
    why: 'It would be about a name that nobody asked for',
    where: [{ step: /^service own address SRV$/, at: /^additional$/ }],
  },
  {
    area: 'DNS',
    what: 'Every answer stays in the domain of the question; in Consul targets, SOA and NS of the alternative domain are in the main one',
    why: 'A resolver that forwards one domain alone takes nothing of another from there',
    where: [{ scenario: 'dns-options', step: /^(alt domain|negative SOA alt|NS alt)$/ }],
  },
  {
    area: 'DNS',
    what: 'A reverse name of nobody here is REFUSED where there are no recursors, instead of SERVFAIL',
    why: 'As all names that are not answered here',
    where: [{ step: /^ptr missing$/ }],
  },
  {
    area: 'DNS',
    what: 'Other operations than QUERY are NOTIMP, other versions of EDNS than 0 BADVERS, and zone transfers REFUSED',
    why: 'As the standards ask for',
    where: [{ step: /^(opcode NOTIFY|unknown EDNS version|axfr-like type)$/ }],
  },
  {
    area: 'KV',
    what: 'The text of the 413 for values and transactions above 512 KB says what to do instead of where to read on',
    why: "Consul's points to its own documentation",
    where: [
      { scenario: 'kv', step: /^put 512 KB \+ 1$/, at: /^body\.text$/ },
      { scenario: 'txn', step: /too large$/, at: /^body\.text$/ },
    ],
  },
]

const matches = (where: Where, difference: Difference, scenario: Scenario): boolean =>
  (where.scenario === undefined || where.scenario === scenario) &&
  (where.request === undefined || where.request.test(difference.request)) &&
  (where.step === undefined || where.step.test(difference.name)) &&
  (where.at === undefined || where.at.test(difference.what))

export const runtimeName: 'node' | 'deno' | 'bun' = 'Deno' in globalThis ? 'deno' : 'Bun' in globalThis ? 'bun' : 'node'

/** Those that this runtime shows. */
export const expectedHere = (deviation: Deviation): boolean => deviation.runtimes?.includes(runtimeName) ?? true

/** Which differences no deviation covers, and which deviations covered some. */
export function explain(
  scenario: Scenario,
  differences: readonly Difference[],
): { unexplained: Difference[]; used: Set<Deviation> } {
  const used = new Set<Deviation>()
  const here = deviations.filter(expectedHere)
  const unexplained = differences.filter((difference) => {
    const covering = here.filter(({ where }) => where.some((one) => matches(one, difference, scenario)))
    for (const deviation of covering) used.add(deviation)
    return covering.length === 0
  })
  return { unexplained, used }
}

/** The table of docs/consul-compatibility.md. */
export function deviationsTable(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|')
  const rows = deviations.map(({ area, what, why, runtimes }) => {
    const only = runtimes ? ` (on ${runtimes.map((name) => name[0]!.toUpperCase() + name.slice(1)).join(' and ')})` : ''
    return `| ${area} | ${cell(what)}${only} | ${cell(why)} |`
  })
  return ['| where | what Atoll does instead | why |', '|---|---|---|', ...rows].join('\n')
}
