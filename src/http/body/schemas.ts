/** The bodies of the API, as they may be sent. Names are Consul's; `decode.ts` takes them in any case. */
import * as z from 'zod'
import { aliased, base64, duration } from './decode.ts'

const text = z.string().optional()
const int = z.int().optional()
const flag = z.boolean().optional()
const locality = z
  .object({ Region: z.string().optional(), Zone: z.string().optional() })
  .optional()
  .describe('Where it stands: kept and given back')
/** Peering is off: entries of peers cannot be written. */
const none = z.literal('').optional()
const texts = z.array(z.string()).optional()
const textMap = z.record(z.string(), z.string()).optional()

export const addressSchema = z.object({ Address: text, Port: int })
const addresses = z.record(z.string(), addressSchema).optional()
export const weightsSchema = z.object({ Passing: int, Warning: int })
const anything = z.record(z.string(), z.unknown()).optional()

const checkKind = {
  HTTP: text.describe('URL that must answer with a status of 200 to 299; 429 is a warning'),
  Method: text,
  Header: z.record(z.string(), z.array(z.string())).optional(),
  Body: text,
  TCP: text.describe('host:port that must take a connection'),
  TLSServerName: aliased(z.string(), 'tls_server_name').optional(),
  TLSSkipVerify: aliased(z.boolean(), 'tls_skip_verify').optional(),
  TTL: duration().optional().describe('Critical unless it is updated within this time'),
  Interval: duration().optional(),
  Timeout: duration().optional(),
  DeregisterCriticalServiceAfter: aliased(duration(), 'deregister_critical_service_after').optional(),
  Args: aliased(z.array(z.string()), 'args', 'scriptargs', 'script_args').optional(),
  Script: text,
  DockerContainerID: aliased(z.string(), 'docker_container_id').optional(),
  Shell: text,
  GRPC: text.describe('host:port, or host:port/service, that must answer SERVING by the health protocol of gRPC'),
  GRPCUseTLS: aliased(z.boolean(), 'grpc_use_tls').optional(),
  H2PING: text.describe('host:port that must acknowledge a ping of HTTP/2'),
  H2PingUseTLS: aliased(z.boolean(), 'h2ping_use_tls', 'h2_ping_use_tls').optional().describe('On unless it is false'),
  UDP: text.describe('host:port that must not refuse a datagram'),
  TCPUseTLS: aliased(z.boolean(), 'tcp_use_tls').optional(),
  OSService: aliased(z.string(), 'os_service').optional().describe('A unit of systemd that must be active'),
  AliasNode: text.describe('As healthy as this node'),
  AliasService: text.describe('As healthy as the service of this id, of AliasNode or the registering node'),
  DisableRedirects: aliased(z.boolean(), 'disable_redirects').optional(),
  SuccessBeforePassing: int,
  FailuresBeforeWarning: int,
  FailuresBeforeCritical: int,
  OutputMaxSize: int,
}

const checkNames = {
  ID: text,
  CheckID: text,
  Name: text,
  Notes: text,
  Status: text,
  ServiceID: aliased(z.string(), 'service_id').optional(),
  Token: text,
}

/** A check within a service's registration. */
export const serviceCheckSchema = z.object({ ...checkNames, ...checkKind })

export const checkRegistrationSchema = z
  .object({ ...checkNames, ...checkKind })
  .meta({ goType: 'structs.CheckDefinition' })

export const serviceRegistrationSchema = z
  .object({
    ID: text,
    Name: text,
    Kind: text,
    Tags: texts,
    Address: text,
    TaggedAddresses: aliased(z.record(z.string(), addressSchema), 'tagged_addresses').optional(),
    Meta: textMap,
    Port: int,
    SocketPath: text,
    Check: serviceCheckSchema.optional(),
    Checks: z.array(serviceCheckSchema).optional(),
    Weights: weightsSchema.optional(),
    EnableTagOverride: aliased(z.boolean(), 'enable_tag_override').optional(),
    Token: text,
    Proxy: anything,
    Connect: anything,
    Failover: flag.describe('Whether lookups may be answered by another datacenter when none passes here'),
    Locality: locality,
  })
  .meta({ goType: 'structs.ServiceDefinition' })

export const ttlUpdateSchema = z
  .object({
    Status: text,
    Output: text,
    Load: z.number().optional().describe('How busy the service of the check is, from 0 (idle) to 1'),
  })
  .meta({ goType: 'agent.checkUpdate' })

/** How a check of the catalog is run: kept and given back, by whoever runs it. */
export const checkDefinitionSchema = z.object({
  HTTP: text,
  TLSServerName: text,
  TLSSkipVerify: flag,
  Header: z.record(z.string(), z.array(z.string())).optional(),
  Method: text,
  Body: text,
  TCP: text,
  TCPUseTLS: flag,
  UDP: text,
  H2PING: text,
  H2PingUseTLS: flag,
  OSService: text,
  SessionName: text,
  Interval: duration().optional(),
  OutputMaxSize: int,
  Timeout: duration().optional(),
  DeregisterCriticalServiceAfter: duration().optional(),
  ScriptArgs: texts,
  DockerContainerID: text,
  Shell: text,
  GRPC: text,
  GRPCUseTLS: flag,
  AliasNode: text,
  AliasService: text,
  TTL: duration().optional(),
  IntervalDuration: duration().optional(),
  TimeoutDuration: duration().optional(),
  DeregisterCriticalServiceAfterDuration: duration().optional(),
})

export const sessionSchema = z
  .object({
    Name: text,
    Node: text.describe('The node that it rests on; the one that is asked unless given'),
    LockDelay: duration().optional().describe('A duration, or a number: of seconds below 1000, else of nanoseconds'),
    Behavior: text.describe('release (the default) or delete: what becomes of keys that it holds when it ends'),
    TTL: text.describe('10s to 24h; without a renewal for so long it may end'),
    NodeChecks: texts,
    ServiceChecks: z.array(z.object({ ID: text, Namespace: text })).optional(),
    Checks: texts.describe('The old form of NodeChecks'),
  })
  .meta({ goType: 'struct { LockDelay interface {}; *structs.Alias }', lenient: true })

const index = { CreateIndex: z.number().optional(), ModifyIndex: z.number().optional() }

export const catalogCheckSchema = z.object({
  Node: text,
  CheckID: text,
  Name: text,
  Status: text,
  Notes: text,
  Output: text,
  ServiceID: text,
  ServiceName: text,
  ServiceTags: texts,
  Type: text,
  Interval: text,
  Timeout: text,
  ExposedPort: int,
  PeerName: none,
  Definition: checkDefinitionSchema.optional(),
  ...index,
})

export const catalogServiceSchema = z.object({
  Kind: text,
  ID: text,
  Service: text,
  Tags: texts,
  Address: text,
  TaggedAddresses: addresses,
  Meta: textMap,
  Port: int,
  SocketPath: text,
  Weights: weightsSchema.optional(),
  EnableTagOverride: flag,
  Proxy: anything,
  Connect: anything,
  Failover: flag,
  Locality: locality,
  PeerName: none,
  ...index,
})

export const catalogRegistrationSchema = z
  .object({
    Datacenter: text,
    ID: text,
    Node: text,
    Address: text,
    TaggedAddresses: textMap,
    NodeMeta: textMap,
    Service: catalogServiceSchema.optional(),
    Check: catalogCheckSchema.optional(),
    Checks: z.array(catalogCheckSchema).optional(),
    SkipNodeUpdate: flag,
    Locality: locality,
    PeerName: none,
    Token: text,
  })
  .meta({ goType: 'structs.RegisterRequest' })

export const catalogDeregistrationSchema = z
  .object({ Datacenter: text, Node: text, ServiceID: text, CheckID: text, Token: text, Address: text })
  .meta({ goType: 'struct { Address string; *structs.Alias }' })

export const coordinateUpdateSchema = z
  .object({
    Datacenter: text,
    Node: z.string(),
    Segment: text,
    Coord: z.object({
      Vec: z.array(z.number()).optional().describe('Seconds in each of eight dimensions'),
      Error: z.number().optional(),
      Adjustment: z.number().optional(),
      Height: z.number().optional(),
    }),
    Token: text,
  })
  .meta({ goType: 'structs.CoordinateUpdateRequest' })

const uint64 = z.bigint().optional()

/** Transactions: each operation is of one kind, the first that is given. */
export const txnSchema = z
  .array(
    z.object({
      KV: z
        .object({
          Verb: text,
          Key: text,
          Value: base64().optional(),
          Flags: uint64,
          Index: uint64,
          Session: text,
          Namespace: text,
        })
        .optional(),
      Node: z
        .object({
          Verb: text,
          Node: z
            .object({
              ID: text,
              Node: text,
              Address: text,
              Datacenter: text,
              TaggedAddresses: textMap,
              Meta: textMap,
              Locality: locality,
              PeerName: none,
              ...index,
            })
            .optional(),
        })
        .optional(),
      Service: z.object({ Verb: text, Node: text, Service: catalogServiceSchema.optional() }).optional(),
      Check: z.object({ Verb: text, Check: catalogCheckSchema.optional() }).optional(),
    }),
  )
  .meta({ goType: 'api.TxnOps' })
