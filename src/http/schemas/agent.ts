/** What answers show of a node itself and of its own workloads: what `agent-shapes.ts` makes. */
import * as z from 'zod'
import { addresses, check, coord, locality, status, textMap, weights } from './entries.ts'

const text = z.string()

export const localService = z
  .object({
    Kind: text.optional(),
    ID: text,
    Service: text.describe('Its name'),
    Tags: z.array(text),
    Meta: textMap,
    Port: z.int(),
    Address: text,
    SocketPath: text.optional(),
    TaggedAddresses: addresses,
    Weights: weights,
    EnableTagOverride: z.boolean(),
    ContentHash: text.optional().describe('Of this definition: pass it as `hash` to wait for another'),
    Proxy: z.unknown().optional(),
    Connect: z.unknown().optional(),
    Failover: z.boolean().optional(),
    Locality: locality,
    Load: z.number().min(0).max(1).optional().describe('How busy it says that it is'),
    Datacenter: text,
  })
  .meta({ id: 'LocalService' })
export const localServices = z.record(text, localService)
export const localChecks = z.record(text, check)

const healthCheck = z
  .object({
    Node: text,
    CheckID: text,
    Name: text,
    Status: status,
    Notes: text,
    Output: text,
    ServiceID: text,
    ServiceName: text,
    ServiceTags: z.array(text).nullable(),
    Type: text,
    Definition: z.record(text, z.unknown()),
    CreateIndex: z.int(),
    ModifyIndex: z.int(),
  })
  .meta({ id: 'LocalHealthCheck' })
export const localHealth = z
  .object({
    AggregatedStatus: z.enum(['passing', 'warning', 'critical', 'maintenance']),
    Service: localService.nullable(),
    Checks: z.array(healthCheck).nullable(),
  })
  .meta({ id: 'LocalHealth' })

export const member = z
  .object({
    Name: text,
    Addr: text,
    Port: z.int(),
    Tags: z.record(text, text),
    Status: z.int().describe('1 alive, 3 left, 4 failed'),
    ProtocolMin: z.int(),
    ProtocolMax: z.int(),
    ProtocolCur: z.int(),
    DelegateMin: z.int(),
    DelegateMax: z.int(),
    DelegateCur: z.int(),
  })
  .meta({ id: 'Member' })

export const self = z.object({
  Config: z.object({
    Datacenter: text,
    PrimaryDatacenter: text,
    NodeName: text,
    NodeID: text,
    Revision: text,
    Server: z.boolean(),
    Version: text,
  }),
  DebugConfig: z.record(text, z.unknown()),
  Coord: coord,
  Member: member,
  Stats: z.record(text, z.record(text, text)),
  Meta: textMap,
  Atoll: z.object({ PeerID: text, Addresses: z.array(text), Runtime: text }),
})

export const version = z.object({ Version: text, HumanVersion: text, Runtime: text })

const whole = z.number()
export const host = z.object({
  Memory: z.record(text, z.number()),
  CPU: z.array(z.object({ cpu: z.int(), modelName: text, mhz: z.number(), cores: z.int() })),
  Host: z.object({
    hostname: text,
    uptime: whole,
    bootTime: whole,
    os: text,
    platform: text,
    platformVersion: text,
    kernelVersion: text,
    kernelArch: text,
  }),
  Disk: z
    .object({
      path: text,
      total: whole,
      free: whole,
      used: whole,
      usedPercent: whole,
      inodesTotal: whole,
      inodesUsed: whole,
      inodesFree: whole,
    })
    .nullable(),
  CollectionTime: whole.describe('Nanoseconds since 1970'),
  Errors: z.null(),
})

export const metrics = z.object({
  Timestamp: text,
  Gauges: z.array(z.object({ Name: text, Value: z.number(), Labels: z.record(text, text) })),
  Points: z.array(z.unknown()),
  Counters: z.array(z.unknown()),
  Samples: z.array(z.unknown()),
})
