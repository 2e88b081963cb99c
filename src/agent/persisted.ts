/** The files of an agent's folder: their form, checked when they are read. JSON, so that an operator can read them. */
import * as z from 'zod'
import type { Status } from '../model/entries.ts'
import type { LocalCheckDefinition, LocalServiceDefinition } from '../model/local.ts'

/** Rises when an older release could not read the files any more. */
export const FILE_VERSION = 1

/** A service with all of its checks, or one check of the node: what changes together is one file. */
export type Unit =
  | {
      readonly kind: 'service'
      readonly service: LocalServiceDefinition
      readonly checks: readonly LocalCheckDefinition[]
    }
  | { readonly kind: 'check'; readonly check: LocalCheckDefinition }

/** What a check's health was when it was last kept. */
export interface KeptStatus {
  readonly checkId: string
  readonly status: Status
  readonly output: string
  /** Of TTL checks: wall-clock milliseconds up to which it holds. */
  readonly validUntilWallMs?: number
}

/** Why a file is not used: it cannot be understood, or a later release wrote it. */
export class UnreadableFile extends Error {
  readonly newer: boolean
  constructor(message: string, newer: boolean) {
    super(message)
    this.newer = newer
  }
}

const object = z.record(z.string(), z.unknown())
const text = z.string()
const status = z.enum(['passing', 'warning', 'critical'])
const duration = z.number().nonnegative()

const target = { host: text, port: z.number() }
const tls = z.object({ skipVerify: z.boolean(), serverName: text }).optional()

const check = z.object({
  checkId: text,
  name: text,
  notes: text,
  serviceId: text,
  status,
  http: z
    .object({
      url: text,
      method: text,
      headers: z.record(text, z.array(text)),
      body: text,
      tlsSkipVerify: z.boolean(),
      tlsServerName: text,
      disableRedirects: z.boolean().optional(),
    })
    .optional(),
  tcp: z.object({ ...target, tls }).optional(),
  udp: z.object(target).optional(),
  grpc: z.object({ ...target, service: text, tls }).optional(),
  h2ping: z.object({ ...target, tls }).optional(),
  script: z.object({ args: z.array(text) }).optional(),
  docker: z.object({ containerId: text, args: z.array(text) }).optional(),
  osService: z.object({ name: text }).optional(),
  alias: z.object({ node: text, serviceId: text }).optional(),
  ttlMs: duration.optional(),
  intervalMs: duration,
  timeoutMs: duration,
  successBeforePassing: z.number(),
  failuresBeforeCritical: z.number(),
  failuresBeforeWarning: z.number().optional(),
  deregisterCriticalServiceAfterMs: duration,
  outputMaxBytes: z.number(),
  type: text,
  interval: text,
  timeout: text,
  definition: object,
  fromFile: z.boolean().optional(),
}) satisfies z.ZodType<LocalCheckDefinition>

const service = z.object({
  id: text,
  service: text,
  kind: text,
  tags: z.array(text),
  address: text,
  taggedAddresses: z.record(text, z.object({ address: text, port: z.number() })).nullable(),
  meta: z.record(text, text).nullable(),
  port: z.number(),
  socketPath: text,
  weights: z.object({ passing: z.number(), warning: z.number() }),
  enableTagOverride: z.boolean(),
  proxy: object.nullable(),
  connect: object.nullable(),
  failover: z.boolean().optional(),
  locality: z.object({ region: text, zone: text }).optional(),
  fromFile: z.boolean().optional(),
}) satisfies z.ZodType<Omit<LocalServiceDefinition, 'checks'>>

const unitFile = z.discriminatedUnion('kind', [
  z.object({ version: z.literal(FILE_VERSION), kind: z.literal('service'), service, checks: z.array(check) }),
  z.object({ version: z.literal(FILE_VERSION), kind: z.literal('check'), check }),
  /** Put in place of a file before that is removed, for a removal alone may be undone by a power cut. */
  z.object({ version: z.literal(FILE_VERSION), kind: z.literal('removed') }),
])

const statusFile = z.object({
  version: z.literal(FILE_VERSION),
  statuses: z.array(
    z.object({ checkId: text, status, output: text, validUntilWallMs: z.number().optional() }),
  ) satisfies z.ZodType<KeptStatus[]>,
})

const encoder = new TextEncoder()
const encode = (value: unknown): Uint8Array => encoder.encode(`${JSON.stringify(value, undefined, 2)}\n`)

export function encodeUnit(unit: Unit): Uint8Array {
  if (unit.kind === 'check') return encode({ version: FILE_VERSION, ...unit })
  const { checks: _, ...service } = unit.service
  return encode({ version: FILE_VERSION, kind: 'service', service, checks: unit.checks })
}

export const REMOVED: Uint8Array = encode({ version: FILE_VERSION, kind: 'removed' })

/** undefined for one that was removed. Throws UnreadableFile. */
export function decodeUnit(bytes: Uint8Array): Unit | undefined {
  const file = decode(unitFile, bytes)
  if (file.kind === 'removed') return undefined
  return file.kind === 'check' ? file : { ...file, service: { ...file.service, checks: [] } }
}

export const encodeStatuses = (statuses: readonly KeptStatus[]): Uint8Array =>
  encoder.encode(JSON.stringify({ version: FILE_VERSION, statuses }))

/** Throws UnreadableFile. */
export const decodeStatuses = (bytes: Uint8Array): readonly KeptStatus[] => decode(statusFile, bytes).statuses

function decode<T>(schema: z.ZodType<T>, bytes: Uint8Array): T {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new UnreadableFile(error instanceof Error ? error.message : String(error), false)
  }
  const version = (value as { version?: unknown } | null)?.version
  if (typeof version === 'number' && version > FILE_VERSION) {
    throw new UnreadableFile(`it has version ${version}, this release reads ${FILE_VERSION}`, true)
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new UnreadableFile(z.prettifyError(parsed.error), false)
  return parsed.data
}
