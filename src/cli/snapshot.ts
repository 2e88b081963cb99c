import { createWriteStream } from 'node:fs'
import { readFile, rename, rm } from 'node:fs/promises'
import { finished } from 'node:stream/promises'
import { inspectSnapshot, type SnapshotInfo } from '../client/client.ts'
import { defineCommand, Failure, type Group } from './command.ts'

const FILE = { name: 'file', purpose: 'path of the archive' }

const save = defineCommand({
  examples: [{ line: 'atoll snapshot save eu-1.snap', says: 'at a server of the datacenter' }],
  arguments: [FILE],
  flags: {},
  async run({ client, args, json, print, printJson }) {
    const path = args[0]!
    const part = `${path}.part`
    try {
      const output = createWriteStream(part, { mode: 0o600 })
      const written = finished(output)
      written.catch(() => {})
      for await (const chunk of (await client().snapshot.save()) as unknown as AsyncIterable<Uint8Array>) {
        if (!output.write(chunk))
          await Promise.race([new Promise<void>((resolve) => output.once('drain', () => resolve())), written])
      }
      output.end()
      await written
      const info = await inspectSnapshot(await readArchive(part))
      await rename(part, path)
      if (json) printJson(infoJson(info))
      else print(`saved ${path}: ${described(info)}`)
    } catch (error) {
      await rm(part, { force: true })
      throw error
    }
  },
})

const restore = defineCommand({
  examples: [{ line: 'atoll snapshot restore eu-1.snap', says: 'what was written since is gone' }],
  arguments: [FILE],
  flags: {},
  notes: ['The archive is checked before it is sent, and by the server before anything is changed.'],
  async run({ client, args, json, print, printJson }) {
    const archive = await readArchive(args[0]!)
    const info = await inspectSnapshot(archive)
    await client().snapshot.restore(archive)
    if (json) printJson(infoJson(info))
    else print(`restored ${args[0]}: ${described(info)}`)
  },
})

const inspect = defineCommand({
  examples: [{ line: 'atoll snapshot inspect eu-1.snap', says: 'whose it is, and whether it is whole' }],
  arguments: [FILE],
  flags: {},
  local: true,
  async run({ args, json, print, printJson }) {
    const info = await inspectSnapshot(await readArchive(args[0]!))
    if (json) printJson(infoJson(info))
    else print(described(info))
  },
})

async function readArchive(path: string): Promise<Uint8Array> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new Failure('unreadable', `${path} cannot be read (${error.code ?? error.message})`)
  })
}

const described = ({ datacenter, index, entries, bytes }: SnapshotInfo): string =>
  `datacenter ${datacenter} at index ${index}, ${entries} entries, ${bytes} bytes unpacked, checksum good`

const infoJson = ({ datacenter, generation, revision, index, entries, bytes }: SnapshotInfo) => ({
  Datacenter: datacenter,
  Generation: generation,
  Revision: revision,
  Index: index,
  Entries: entries,
  Bytes: bytes,
})

export const command: Group = {
  examples: [
    { line: 'atoll snapshot save eu-1.snap', says: 'all that the catalog holds, as of one moment' },
    { line: 'atoll snapshot restore eu-1.snap', says: 'make it hold that again' },
  ],
  commands: {
    save: { purpose: 'save nodes, services, checks, keys, sessions and events', command: save },
    restore: { purpose: 'make a datacenter hold what an archive does', command: restore },
    inspect: { purpose: 'check an archive, and say what it is', command: inspect },
  },
}
