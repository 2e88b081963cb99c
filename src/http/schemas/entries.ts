/** Entries of the catalog as answers show them: what `shapes.ts` makes, in schemas for the API's document. */
import * as z from 'zod'

const text = z.string()
export const index = z.int().nonnegative().describe('What reads pass as `index`, to wait until it is above this one')
const indexes = { CreateIndex: index, ModifyIndex: index }
/** Null where none was given. */
export const textMap = z.record(text, text).nullable()
const texts = z.array(text)
const anything = z.record(text, z.unknown())
export const status = z.enum(['passing', 'warning', 'critical'])

const address = z.object({ Address: text, Port: z.int() }).meta({ id: 'Address' })
export const addresses = z.record(text, address).optional()
export const weights = z.object({ Passing: z.int(), Warning: z.int() }).meta({ id: 'Weights' })
export const locality = z.object({ Region: text, Zone: text }).optional().describe('Where it stands')

/** `proxy` of services: kept and given back, with the fields that Consul always shows. */
const proxy = z
  .looseObject({ Mode: z.unknown(), MeshGateway: z.unknown(), Expose: z.unknown() })
  .meta({ id: 'Proxy', description: 'Kept and given back for tools; Atoll has no proxies' })

const nodeFields = {
  ID: text.describe('A UUID, or empty'),
  Node: text.describe('Its name'),
  Address: text,
  Datacenter: text,
  TaggedAddresses: textMap,
  Meta: textMap,
  Locality: locality,
}
export const node = z.object({ ...nodeFields, ...indexes }).meta({ id: 'Node' })

const load = z.number().min(0).max(1).optional().describe('How busy it says that it is; absent when it does not say')

export const serviceFields = {
  Kind: text.optional(),
  ID: text,
  Service: text.describe('Its name'),
  Tags: texts,
  Address: text.describe("Where it listens; empty: at the node's address"),
  TaggedAddresses: addresses,
  Meta: textMap,
  Port: z.int(),
  SocketPath: text.optional(),
  Weights: weights,
  EnableTagOverride: z.boolean(),
  Proxy: proxy,
  Connect: anything,
  Failover: z.boolean().optional().describe('Whether look-ups may be answered by another datacenter'),
  Locality: locality,
  Load: load,
  ...indexes,
}
export const service = z.object(serviceFields).meta({ id: 'Service' })

const checkFields = {
  Node: text,
  CheckID: text,
  Name: text,
  Status: status,
  Notes: text,
  Output: text,
  ServiceID: text.describe('Empty for a check of the node'),
  ServiceName: text,
  ServiceTags: texts,
  Type: text,
  Interval: text,
  Timeout: text,
  ExposedPort: z.int(),
  Definition: anything.describe('How it is run; empty where that is nobody else’s business'),
  ...indexes,
}
export const check = z.object(checkFields).meta({ id: 'Check' })

const remote = z
  .object({
    Datacenter: text,
    DistanceMs: z.number().nullable(),
    AgeMs: z.int().nullable().describe('Null where nobody can tell'),
  })
  .optional()
  .meta({ id: 'Remote', description: 'On entries of other datacenters: which one, how far, and how old this is' })

export const healthEntry = z
  .object({ Node: node, Service: service, Checks: z.array(check), Atoll: remote })
  .meta({ id: 'HealthEntry' })

export const catalogService = z
  .object({
    ID: text.describe("The node's id"),
    Node: text,
    Address: text,
    Datacenter: text,
    TaggedAddresses: textMap,
    NodeMeta: textMap,
    ServiceKind: text,
    ServiceID: text,
    ServiceName: text,
    ServiceTags: texts,
    ServiceAddress: text,
    ServiceTaggedAddresses: addresses,
    ServiceWeights: weights,
    ServiceMeta: textMap,
    ServicePort: z.int(),
    ServiceSocketPath: text,
    ServiceEnableTagOverride: z.boolean(),
    ServiceProxy: proxy,
    ServiceConnect: anything,
    ServiceLocality: locality,
    ServiceLoad: load,
    ...indexes,
    Atoll: remote,
  })
  .meta({ id: 'CatalogService' })

const tagged = { Tags: texts.nullable() }
const ofService = { ServiceTags: texts.nullable() }
/** In some answers an empty list of tags is null, as in Consul. */
export const serviceOrNullTags = z.object({ ...serviceFields, ...tagged }).meta({ id: 'ServiceNullableTags' })
export const checkOrNullTags = z.object({ ...checkFields, ...ofService }).meta({ id: 'CheckNullableTags' })

export const nodeServices = z
  .object({ Node: node, Services: z.record(text, service) })
  .nullable()
  .describe('Null when there is no such node')
export const nodeServiceList = z.object({
  Node: node.nullable().describe('Null when there is no such node'),
  Services: z.array(service).nullable(),
})
/** A node with all that is on it, as the overview pages read it. */
export const nodeView = z
  .object({ ...nodeFields, Services: z.array(serviceOrNullTags), Checks: z.array(checkOrNullTags) })
  .omit({ Datacenter: true })
  .meta({ id: 'NodeView' })

export const kvEntry = z
  .object({
    LockIndex: z.int().describe('How often it was acquired'),
    Key: text,
    Flags: z.bigint(),
    Value: text.nullable().describe('In base64; null when empty'),
    Session: text.optional().describe('Which holds it'),
    ...indexes,
  })
  .meta({
    id: 'KVEntry',
    examples: [{ LockIndex: 0, Key: 'app/color', Flags: 0, Value: 'Ymx1ZQ==', CreateIndex: 12, ModifyIndex: 12 }],
  })

export const session = z
  .object({
    ID: text,
    Name: text,
    Node: text,
    LockDelay: z.int().describe('Nanoseconds'),
    Behavior: z.enum(['release', 'delete']),
    TTL: text.describe('A duration; empty: it lives as long as its node and checks are well'),
    NodeChecks: texts.nullable(),
    ServiceChecks: z.array(z.object({ ID: text, Namespace: text })).nullable(),
    Checks: texts.optional().describe('The old form of NodeChecks, where it was given'),
    ...indexes,
  })
  .meta({ id: 'Session' })

export const event = z
  .object({
    ID: text,
    Name: text,
    Payload: text.nullable().describe('In base64; null when empty'),
    NodeFilter: text,
    ServiceFilter: text,
    TagFilter: text,
    Version: z.int(),
    LTime: z.int(),
  })
  .meta({ id: 'Event' })

export const coord = z
  .object({ Vec: z.array(z.number()), Error: z.number(), Adjustment: z.number(), Height: z.number() })
  .meta({ id: 'Coordinate', description: 'A place by which round-trip times are estimated; Vec and Height in seconds' })
export const nodeCoordinate = z.object({ Node: text, Segment: text, Coord: coord }).meta({ id: 'NodeCoordinate' })
export const datacenterCoordinates = z
  .object({ Datacenter: text, AreaID: text, Coordinates: z.array(nodeCoordinate) })
  .meta({ id: 'DatacenterCoordinates' })

const txnResult = z.union([
  z.object({ KV: kvEntry }),
  z.object({ Node: node }),
  z.object({ Service: serviceOrNullTags }),
  z.object({ Check: checkOrNullTags }),
])
export const txnAnswer = z
  .object({
    Results: z.array(txnResult).nullable(),
    Errors: z.array(z.object({ OpIndex: z.int(), What: text })).nullable(),
    Index: z.int().optional(),
    LastContact: z.int().optional(),
    KnownLeader: z.boolean().optional(),
    ConsistencyLevel: text.optional(),
    NotModified: z.boolean().optional(),
    Backend: z.int().optional(),
  })
  .meta({ id: 'TxnAnswer', description: 'The last six fields come with transactions that only read' })

export const preparedQuery = z
  .object({
    ID: text,
    Name: text,
    Session: text.describe('It goes with this one; empty: it stays'),
    Token: text,
    Template: z.object({ Type: z.enum(['', 'name_prefix_match']), Regexp: text, RemoveEmptyTags: z.boolean() }),
    Service: z.object({
      Service: text,
      Failover: z.object({
        NearestN: z.int(),
        Datacenters: texts.nullable(),
        Targets: z.array(z.object({ Datacenter: text })).optional(),
      }),
      OnlyPassing: z.boolean(),
      IgnoreCheckIDs: texts.nullable(),
      Near: text,
      Tags: texts.nullable(),
      NodeMeta: textMap,
      ServiceMeta: textMap,
      Connect: z.boolean(),
      Sort: z.literal('load').optional().describe('The least busy first'),
    }),
    DNS: z.object({ TTL: text }),
    ...indexes,
  })
  .meta({ id: 'PreparedQuery' })

/** What answers in the form of Consul's own calls say of themselves. */
export const ofAnswer = {
  Index: index,
  LastContact: z.int().describe('How old it may be, in nanoseconds'),
  KnownLeader: z.boolean(),
  ConsistencyLevel: z.enum(['leader', 'consistent', 'stale']),
  NotModified: z.boolean(),
  Backend: z.int(),
}
export const queryExplanation = z.object({ Query: preparedQuery, ...ofAnswer }).meta({ id: 'PreparedQueryExplanation' })
export const queryExecution = z
  .object({
    Service: text,
    Nodes: z.array(
      z.object({ Node: node, Service: serviceOrNullTags, Checks: z.array(checkOrNullTags).nullable(), Atoll: remote }),
    ),
    DNS: z.object({ TTL: text }),
    Datacenter: text.describe('Which one the instances are of'),
    Failovers: z.int().nonnegative().describe('Other datacenters that were tried'),
    ...ofAnswer,
  })
  .meta({ id: 'PreparedQueryExecution' })
