/** `/v1/operator` and `/v1/internal/ui`: overviews for tools. */
import * as z from 'zod'
import { index, ofAnswer, textMap } from './entries.ts'

const text = z.string()
const count = z.int().nonnegative()

export const raftConfiguration = z.object({
  Servers: z.array(
    z.object({
      ID: text,
      Node: text,
      Address: text,
      Leader: z.boolean(),
      ProtocolVersion: text,
      Voter: z.boolean(),
    }),
  ),
  Index: index,
})

export const autopilotConfiguration = z.object({
  CleanupDeadServers: z.boolean(),
  LastContactThreshold: text,
  MaxTrailingLogs: z.int(),
  MinQuorum: z.int(),
  ServerStabilizationTime: text,
  RedundancyZoneTag: text,
  DisableUpgradeMigration: z.boolean(),
  UpgradeVersionTag: text,
  CreateIndex: index,
  ModifyIndex: index,
})

const replication = { LastContact: text, LastTerm: z.int(), LastIndex: index }
export const autopilotHealth = z.object({
  Healthy: z.boolean(),
  FailureTolerance: z.int(),
  Servers: z.array(
    z.object({
      ID: text,
      Name: text,
      Address: text,
      SerfStatus: text,
      Version: text,
      Leader: z.boolean(),
      ...replication,
      Healthy: z.boolean(),
      Voter: z.boolean(),
      StableSince: text,
    }),
  ),
})
export const autopilotState = z.object({
  Healthy: z.boolean(),
  FailureTolerance: z.int(),
  OptimisticFailureTolerance: z.int(),
  Servers: z.record(
    text,
    z.object({
      ID: text,
      Name: text,
      Address: text,
      NodeStatus: text,
      Version: text,
      ...replication,
      Healthy: z.boolean(),
      StableSince: text,
      ReadReplica: z.boolean(),
      Status: text,
      Meta: textMap,
      NodeType: text,
    }),
  ),
  Leader: text,
  Voters: z.array(text),
})

export const usage = z.object({
  Usage: z.record(
    text,
    z.object({
      Nodes: count,
      Services: count,
      ServiceInstances: count,
      ConnectServiceInstances: z.record(text, count),
      BillableServiceInstances: count,
    }),
  ),
  ...ofAnswer,
  ResultsFilteredByACLs: z.boolean(),
})

export const serviceSummary = z
  .object({
    Kind: text.optional(),
    Name: text,
    Datacenter: text,
    Tags: z.array(text).nullable(),
    Nodes: z.array(text),
    ExternalSources: z.array(text).nullable(),
    InstanceCount: count,
    ChecksPassing: count,
    ChecksWarning: count,
    ChecksCritical: count,
    GatewayConfig: z.object({}),
    TransparentProxy: z.boolean(),
    ConnectedWithProxy: z.boolean(),
    ConnectedWithGateway: z.boolean(),
  })
  .meta({ id: 'ServiceSummary' })

const states = { Total: count, Passing: count, Warning: count, Critical: count }
const named = z.array(z.object({ Name: text, ...states }))
export const catalogOverview = z.object({ Nodes: z.array(z.object(states)), Services: named, Checks: named })
