/** Answers of a node in the shapes of the API, for commands to show. */

export const members = [
  member('eu-1-client', 'eu-1', 'node', 'deno', 4),
  member('eu-1-server', 'eu-1', 'consul', 'node', 1),
]

function member(name: string, dc: string, role: string, runtime: string, status: number) {
  return {
    Name: name,
    Addr: '127.0.0.1',
    Port: 8300,
    Tags: { acls: '0', build: '0.1.0:', dc, id: 'afd84ce7-19d2-387f-5f32-8fc186f5a9f6', port: '8300', role, runtime },
    Status: status,
    ProtocolMin: 1,
    ProtocolMax: 5,
    ProtocolCur: 2,
    DelegateMin: 2,
    DelegateMax: 5,
    DelegateCur: 4,
  }
}

export const self = {
  Config: { Datacenter: 'eu-1', NodeName: 'n1', NodeID: 'afd84ce7', Revision: '', Server: true, Version: '0.1.0' },
}

interface Instance {
  readonly id: string
  readonly dc: string
  readonly address?: string
  readonly checks?: readonly [name: string, status: string][]
  readonly tags?: readonly string[]
  readonly origin?: { readonly DistanceMs: number | null; readonly AgeMs: number }
}

/** An entry of health/service. */
export const entry = ({ id, dc, address = '', checks = [], tags = [], origin }: Instance) => ({
  Node: {
    ID: '',
    Node: `${dc}-n1`,
    Address: '10.10.0.1',
    Datacenter: dc,
    TaggedAddresses: null,
    Meta: null,
    CreateIndex: 17,
    ModifyIndex: 17,
  },
  Service: {
    ID: id,
    Service: 'web',
    Tags: tags,
    Address: address,
    Meta: null,
    Port: 8080,
    Weights: { Passing: 1, Warning: 1 },
    EnableTagOverride: false,
    Proxy: { Mode: '', MeshGateway: {}, Expose: {} },
    Connect: {},
    CreateIndex: 17,
    ModifyIndex: 17,
  },
  Checks: [['Serf Health Status', 'passing'] as const, ...checks].map(([name, status], at) => ({
    Node: `${dc}-n1`,
    CheckID: at === 0 ? 'serfHealth' : `service:${id}`,
    Name: name,
    Status: status,
    Notes: '',
    Output: '',
    ServiceID: at === 0 ? '' : id,
    ServiceName: at === 0 ? '' : 'web',
    ServiceTags: [],
    Type: '',
    Interval: '',
    Timeout: '',
    ExposedPort: 0,
    Definition: {},
    CreateIndex: 17,
    ModifyIndex: 17,
  })),
  ...(origin ? { Atoll: { Datacenter: dc, ...origin } } : {}),
})

export const answeredBy = (datacenter: string, source: string, ageMs: number, index = 17) => ({
  'X-Consul-Effective-Consistency': 'leader',
  'X-Consul-Index': String(index),
  'X-Consul-Knownleader': 'true',
  'X-Consul-Lastcontact': String(ageMs),
  'X-Atoll-Datacenter': datacenter,
  'X-Atoll-Source': source,
  'X-Atoll-Age-Ms': String(ageMs),
})

const replica = (revision: number, headRevision: number, ageMs: number) => ({
  Generation: 0,
  Revision: revision,
  HeadRevision: headRevision,
  AgeMs: ageMs,
  Entries: 12,
  Digest: 'c0ffee',
  Deltas: 4,
  Snapshots: 1,
  Repairs: 0,
})

const gateway = (node: string, connected: boolean) => ({
  Node: node,
  PeerID: `12D3KooW${node}`,
  Addresses: ['/ip4/127.0.0.1/tcp/8300'],
  Connected: connected,
})

const relay = { Datacenter: 'us-1', Node: 'us-1-server', PeerID: '12D3KooWus' }

export const mesh = {
  Datacenter: 'eu-1',
  Node: 'eu-1-server',
  Role: 'server',
  Runtime: 'node 24.21.0',
  Datacenters: [
    {
      Datacenter: 'eu-1',
      Own: true,
      State: 'live',
      Reachable: true,
      RoundTripMs: 0,
      Gateways: [gateway('eu-1-server', true)],
      Replica: null,
    },
    {
      Datacenter: 'us-1',
      Own: false,
      State: 'live',
      Reachable: true,
      RoundTripMs: 80.41,
      Gateways: [gateway('us-1-server', true)],
      Replica: replica(120, 120, 312),
    },
    {
      Datacenter: 'ap-1',
      Own: false,
      State: 'live',
      Reachable: false,
      RoundTripMs: null,
      Gateways: [gateway('ap-1-server', false)],
      Replica: replica(88, 91, 9140),
    },
    {
      Datacenter: 'af-1',
      Own: false,
      State: 'live',
      Reachable: true,
      Way: 'relayed',
      Via: relay,
      RoundTripMs: 231.2,
      Gateways: [{ ...gateway('af-1-server', true), Via: relay }],
      Replica: replica(7, 7, 480),
    },
    { Datacenter: 'sa-1', Own: false, State: 'lost', Reachable: false, RoundTripMs: null, Gateways: [], Replica: null },
  ],
  Links: [
    {
      PeerID: '12D3KooWus',
      Node: 'us-1-server',
      Datacenter: 'us-1',
      Role: 'server',
      Direction: 'outbound',
      RoundTripMs: 80.41,
      Address: '/ip4/127.0.0.1/tcp/8310',
    },
    {
      PeerID: '12D3KooWaf',
      Node: 'af-1-server',
      Datacenter: 'af-1',
      Role: 'server',
      Direction: 'inbound',
      RoundTripMs: 231.2,
      Address: '/ip4/127.0.0.1/tcp/8310/p2p/12D3KooWus/p2p-circuit',
      Via: relay,
    },
  ],
}

const candidate = (dc: string, rest: object) => ({
  Datacenter: dc,
  Own: false,
  DistanceMs: null,
  Reachable: true,
  AgeMs: 0,
  Instances: 0,
  Passing: 0,
  Chosen: false,
  Reason: 'never registered there',
  Entries: [],
  ...rest,
})

const explained = (id: string, status: string, failing: string[]) => ({
  Node: 'n1',
  ServiceID: id,
  Status: status,
  Failing: failing,
  Address: '10.0.0.1',
  Port: 8080,
})

export const explanation = {
  Service: 'web',
  Datacenter: 'eu-1',
  Chosen: 'us-1',
  Candidates: [
    candidate('eu-1', {
      Own: true,
      DistanceMs: 0,
      Instances: 1,
      Reason: 'no instance passes',
      Entries: [explained('web-1', 'critical', ['service:web-1'])],
    }),
    candidate('us-1', {
      DistanceMs: 80.4,
      AgeMs: 312,
      Instances: 2,
      Passing: 2,
      Chosen: true,
      Reason: 'nearest with passing instances',
      Entries: [explained('web-1', 'passing', []), explained('web-2', 'passing', [])],
    }),
    candidate('ap-1', { Reachable: false, AgeMs: 9140, Instances: 1, Passing: 1, Reason: 'cannot be reached' }),
  ],
}

export const kvRow = (key: string, value: string, flags = 0) => ({
  LockIndex: 0,
  Key: key,
  Flags: flags,
  Value: value === '' ? null : Buffer.from(value).toString('base64'),
  CreateIndex: 31,
  ModifyIndex: 35,
})

/** A place `x` ms along the first dimension, with a height of half a millisecond. */
const place = (node: string, x: number) => ({
  Node: node,
  Segment: '',
  Coord: { Vec: [x / 1000, 0, 0, 0, 0, 0, 0, 0], Error: 0.1, Adjustment: 0, Height: 0.0005 },
})
export const nodeCoordinates = [place('n1', 0), place('n2', 4), place('n3', -20)]
export const datacenterCoordinates = [
  { Datacenter: 'eu-1', AreaID: 'wan', Coordinates: [place('n1', 0)] },
  { Datacenter: 'us-1', AreaID: 'wan', Coordinates: [place('m1', 90), place('m2', 79)] },
]
