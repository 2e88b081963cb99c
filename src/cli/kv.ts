import type { KvPair } from '../client/client.ts'
import { defineCommand, Failure, type Flags, type Group, UsageError } from './command.ts'
import { readInput } from './input.ts'
import { CONSISTENCY_FLAGS, DC_FLAG, readOptions } from './reading.ts'
import { printable } from './style.ts'

const KEY = { name: 'key', purpose: 'name of the key, without a slash at its beginning' }
const CAS = {
  cas: {
    type: 'number',
    value: 'index',
    purpose: "only if the key's ModifyIndex still is this; 0: only if there is no such key",
  },
} as const satisfies Flags

const get = defineCommand({
  examples: [
    { line: 'atoll kv get config/web', says: 'the value, byte by byte' },
    { line: 'atoll kv get config/web --json', says: 'with its indexes and flags' },
    { line: 'atoll kv get config/ --recurse', says: 'all below a prefix' },
  ],
  arguments: [KEY],
  flags: {
    ...DC_FLAG,
    ...CONSISTENCY_FLAGS,
    recurse: { type: 'boolean', purpose: 'every key that begins so, as lines of key and value' },
  },
  async run({ name, client, args, flags, io, json, paint, print, printJson }) {
    const key = args[0]!
    const options = readOptions(name, flags)
    const { kv } = client()
    if (flags.recurse) {
      const { value } = await kv.list(key, options)
      if (value.length === 0) throw new Failure('not-found', `no key begins with "${printable(key)}"`)
      if (json) return printJson(value.map(pairJson))
      for (const pair of value)
        print(`${paint('dim', `${printable(pair.key)}:`)} ${textOf(pair.value) ?? base64(pair.value)}`)
      return
    }
    if (json) {
      const { value } = await kv.get(key, options)
      if (!value) throw noSuchKey(key)
      return printJson(pairJson(value))
    }
    const { value } = await kv.getRaw(key, options)
    if (value === undefined) throw noSuchKey(key)
    io.stdout.write(value)
    if (io.isTTY && value.at(-1) !== 10) print()
  },
})

const put = defineCommand({
  examples: [
    { line: 'atoll kv put config/web blue', says: 'a text' },
    { line: 'atoll kv put config/web @web.json', says: 'the content of a file' },
    { line: 'date | atoll kv put config/web -', says: 'standard input' },
    { line: 'atoll kv put config/web green --cas 42', says: 'only if nobody changed it since index 42' },
  ],
  arguments: [KEY, { name: 'value', purpose: 'a text, @file, or - for standard input; up to 512 KB' }],
  flags: {
    ...DC_FLAG,
    ...CAS,
    flags: { type: 'string', value: 'number', purpose: 'a number of up to 64 bits that is kept with the value' },
  },
  async run({ name, client, args, flags, io, json, print, printJson }) {
    const [key, given] = args as [string, string]
    if (flags.flags !== undefined && !/^\d{1,20}$/.test(flags.flags)) {
      throw new UsageError(`--flags: "${flags.flags}" is no whole number`, name)
    }
    const source = given === '-' ? '-' : given.startsWith('@') ? given.slice(1) : undefined
    const value = source === undefined ? given : await readInput(source, io)
    const done = await client().kv.put(key, value, {
      ...(flags.dc === undefined ? {} : { dc: flags.dc }),
      ...(flags.cas === undefined ? {} : { cas: flags.cas }),
      ...(flags.flags === undefined ? {} : { flags: BigInt(flags.flags) }),
    })
    if (!done) throw notMatched(key, flags.cas)
    if (json) return printJson({ Key: key, Written: true })
    print(`wrote ${printable(key)}`)
  },
})

const remove = defineCommand({
  examples: [
    { line: 'atoll kv delete config/web', says: 'one key' },
    { line: 'atoll kv delete config/ --recurse', says: 'all below a prefix, at once' },
  ],
  arguments: [KEY],
  flags: { ...DC_FLAG, ...CAS, recurse: { type: 'boolean', purpose: 'every key that begins so, in one transaction' } },
  async run({ name, client, args, flags, json, print, printJson }) {
    const key = args[0]!
    if (flags.recurse && flags.cas !== undefined) throw new UsageError('--cas and --recurse exclude each other', name)
    const { kv } = client()
    const dc = flags.dc === undefined ? {} : { dc: flags.dc }
    const done = flags.recurse
      ? await kv.deleteTree(key, dc)
      : await kv.delete(key, { ...dc, ...(flags.cas === undefined ? {} : { cas: flags.cas }) })
    if (!done) throw notMatched(key, flags.cas)
    if (json) return printJson({ Key: key, Deleted: true })
    print(`deleted ${flags.recurse ? 'all that begins with ' : ''}${printable(key)}`)
  },
})

const list = defineCommand({
  examples: [
    { line: 'atoll kv list', says: 'all keys' },
    { line: 'atoll kv list config/ --separator /', says: 'one level, like a folder' },
  ],
  arguments: [{ name: 'prefix', purpose: 'only keys that begin so', optional: true }],
  flags: {
    ...DC_FLAG,
    ...CONSISTENCY_FLAGS,
    separator: { type: 'string', value: 'text', purpose: 'cut keys after its first occurrence behind the prefix' },
  },
  async run({ name, client, args, flags, json, print, printJson }) {
    const options = { ...readOptions(name, flags), ...(flags.separator ? { separator: flags.separator } : {}) }
    const { value } = await client().kv.keys(args[0] ?? '', options)
    if (json) return printJson(value)
    for (const key of value) print(printable(key))
  },
})

export const command: Group = {
  examples: [
    { line: 'atoll kv put config/web blue', says: 'write' },
    { line: 'atoll kv get config/web', says: 'read' },
    { line: 'atoll kv list config/ --separator /', says: 'look around' },
    { line: 'atoll kv get config/web --dc us-1', says: 'in another datacenter: keys are not copied, this asks us-1' },
  ],
  commands: {
    get: { purpose: 'print the value of a key', command: get },
    put: { purpose: 'write a key', command: put },
    delete: { purpose: 'delete a key, or all below a prefix', command: remove },
    list: { purpose: 'list keys', command: list },
  },
}

const noSuchKey = (key: string): Failure =>
  new Failure('not-found', `no key "${printable(key)}"`, 'list what there is with: atoll kv list')

function notMatched(key: string, cas: number | undefined): Failure {
  const why = cas === 0 ? 'it is there already' : `its ModifyIndex is not ${cas}`
  return new Failure(
    'conflict',
    `"${printable(key)}" was left as it is: ${why}`,
    `read it again with: atoll kv get ${printable(key)} --json`,
  )
}

/** Undefined when the bytes are no UTF-8. */
function textOf(value: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value)
  } catch {
    return undefined
  }
}

const base64 = (value: Uint8Array): string => Buffer.from(value).toString('base64')

/** As the API has it; Flags beyond 2^53 as a text, and the value as text too where it is one. */
const pairJson = (pair: KvPair) => ({
  Key: pair.key,
  Value: base64(pair.value),
  Text: textOf(pair.value) ?? null,
  Flags: pair.flags <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(pair.flags) : pair.flags.toString(),
  LockIndex: pair.lockIndex,
  Session: pair.session,
  CreateIndex: pair.createIndex,
  ModifyIndex: pair.modifyIndex,
})
