/** What a server with managed etcd has written down: `<data>/etcd/atoll.json`, beside the member's own data. */
import { z } from 'zod'
import { AtollError } from '../../model/errors.ts'
import type { Disk } from '../../runtime/ports.ts'

const port = z.number().int().min(1).max(65_535)
const text = z.string().min(1).max(512)
const pem = z.string().min(1).max(8_192)

export const candidateSchema = z.object({
  peerId: text,
  name: text,
  host: text,
  clientPort: port,
  peerPort: port,
})

export const authoritySchema = z.object({ name: text, cert: pem, key: pem })
export type SavedAuthority = z.infer<typeof authoritySchema>

export const membershipSchema = z.object({
  /** Identity of the cluster: etcd's initial-cluster-token. */
  cluster: text,
  authority: authoritySchema,
  initial: z
    .array(z.object({ name: text, peerUrl: text }))
    .min(1)
    .max(32),
  initialState: z.enum(['new', 'existing']),
  /** Where the members' clients reach them, as host:port; those that were there last. */
  addresses: z.array(text).max(32),
})
export type Membership = z.infer<typeof membershipSchema>

const savedSchema = z.object({
  version: z.literal(1),
  ports: z.object({ client: port, peer: port }),
  promised: z.object({ cluster: text, proposer: text }).optional(),
  membership: membershipSchema.optional(),
  /** Set by `atoll store recover`: the next start makes this member the only one. */
  recover: z.boolean().optional(),
})
export type Saved = z.infer<typeof savedSchema>

const FILE = 'atoll.json'

/** Rejects with AtollError 'invalid' for what Atoll did not write. */
export async function readSaved(disk: Disk, directory: string): Promise<Saved | undefined> {
  const path = disk.join(directory, FILE)
  const bytes = await disk.read(path)
  if (!bytes) return undefined
  try {
    return savedSchema.parse(JSON.parse(new TextDecoder().decode(bytes)))
  } catch (error) {
    throw new AtollError('invalid', `${path} is not what this version of Atoll wrote; restore it from a backup`, {
      field: 'dataDirectory',
      cause: error,
    })
  }
}

/** Durable once it resolves. Holds a private key: for its owner only. */
export async function writeSaved(disk: Disk, directory: string, saved: Saved): Promise<void> {
  await disk.makeDirectory(directory)
  const bytes = new TextEncoder().encode(`${JSON.stringify(saved, undefined, 2)}\n`)
  await disk.writeAtomic(disk.join(directory, FILE), bytes, { mode: 0o600 })
}
