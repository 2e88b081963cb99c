/** `/v1/mesh` and `/v1/explain`: `MeshStatus` and `Explanation` with their names spelled as the API spells them. */
import * as z from 'zod'
import { status } from './entries.ts'

const text = z.string()
const ms = z.number().nonnegative()
/** Null where nobody can tell. */
const age = ms.nullable()
/** What is not known is null, or left out. */
const known = <T extends z.ZodType>(schema: T) => schema.nullable().optional()

const relay = z
  .object({ Datacenter: text, Node: text, PeerID: text })
  .meta({ id: 'Relay', description: 'The gateway through which it is reached' })
const reach = z.object({ Datacenter: text, Node: text, PeerID: text, RoundTripMs: ms })

const gateway = z.object({
  Node: text,
  PeerID: text,
  Addresses: z.array(text),
  Connected: z.boolean(),
  Via: known(relay),
  Reaches: z.array(reach),
})
const replica = z.object({
  Generation: z.int(),
  Revision: z.int(),
  HeadRevision: z.int(),
  AgeMs: age,
  Entries: z.int(),
  Digest: text,
  Deltas: z.int(),
  Snapshots: z.int(),
  Repairs: z.int(),
})
const datacenter = z
  .object({
    Datacenter: text,
    Own: z.boolean(),
    State: z.enum(['live', 'lost', 'quarantined']),
    Suspected: z.boolean(),
    Limited: z.boolean(),
    Refused: z.int(),
    Reachable: z.boolean(),
    Way: z.enum(['direct', 'relayed', 'none']),
    Via: known(relay),
    RoundTripMs: known(ms),
    RoundTripEstimated: z.boolean(),
    Gateways: z.array(gateway),
    Replica: known(replica),
  })
  .meta({ id: 'MeshDatacenter' })
const link = z.object({
  PeerID: text,
  Node: text,
  Datacenter: text,
  Role: z.enum(['server', 'client']),
  Direction: z.enum(['inbound', 'outbound']),
  RoundTripMs: known(ms),
  Address: known(text).describe('The multiaddr of the other end'),
  Via: known(relay),
})
const problem = z.object({
  Kind: text,
  Datacenter: text,
  Node: text,
  Message: text,
  FirstSeenMs: ms,
  LastSeenMs: ms,
})

export const meshStatus = z
  .object({
    Datacenter: text,
    Node: text,
    Role: z.enum(['server', 'client']),
    Runtime: text,
    Datacenters: z.array(datacenter),
    Doubt: z.object({ Score: z.number(), Of: z.number() }),
    Hedges: z.int(),
    Problems: z.array(problem),
    Links: z.array(link),
    Summaries: known(z.object({ Services: z.int(), AgeMs: age })),
  })
  .meta({ id: 'MeshStatus' })

const explained = z.object({
  Node: text,
  ServiceID: text,
  Status: status,
  Failing: z.array(text),
  Address: text,
  Port: z.int(),
})
export const explanation = z
  .object({
    Service: text,
    Datacenter: text,
    Chosen: known(text),
    Candidates: z.array(
      z.object({
        Datacenter: text,
        Own: z.boolean(),
        DistanceMs: known(ms),
        Reachable: z.boolean(),
        AgeMs: age,
        Instances: z.int(),
        Passing: z.int(),
        Chosen: z.boolean(),
        Reason: text,
        Entries: z.array(explained),
      }),
    ),
  })
  .meta({ id: 'Explanation' })
