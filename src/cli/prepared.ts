import { isClientError, type PreparedQueryDefinition, type PreparedQueryJson } from '../client/client.ts'
import { type Context, defineCommand, Failure, type Group } from './command.ts'
import { readInput } from './input.ts'
import { CONSISTENCY_FLAGS, DC_FLAG, describeOrigin, readOptions } from './reading.ts'
import { type Cell, hostPort, printable } from './style.ts'

const QUERY = { name: 'query', purpose: 'name or id of the query' }

const list = defineCommand({
  examples: [{ line: 'atoll prepared list', says: 'the prepared queries of this datacenter' }],
  flags: { ...DC_FLAG, ...CONSISTENCY_FLAGS },
  async run({ name, client, flags, json, printJson, printTable }) {
    const { value } = await client().query.list(readOptions(name, flags))
    if (json) return printJson(value)
    printTable(
      [{ title: 'NAME' }, { title: 'SERVICE' }, { title: 'FAILOVER', cut: true }, { title: 'ID' }],
      value.map((query) => [nameOf(query), query.Service.Service, failoverOf(query), query.ID]),
    )
  },
})

const create = defineCommand({
  examples: [
    { line: 'atoll prepared create web.json', says: 'as a file says, in the form of the HTTP API' },
    { line: `echo '{"Name": "web", "Service": {"Service": "web"}}' | atoll prepared create -`, says: 'standard input' },
    { line: 'atoll prepared create web.json --replace', says: 'in place of the one of that name, if there is one' },
  ],
  arguments: [{ name: 'file', purpose: 'JSON, or - for standard input' }],
  flags: { ...DC_FLAG, replace: { type: 'boolean', purpose: 'replace the query that has the name' } },
  async run({ args, client, flags, io, json, print, printJson }) {
    const query = definitionOf(args[0]!, await readInput(args[0]!, io))
    const options = flags.dc === undefined ? {} : { dc: flags.dc }
    const known = flags.replace && query.Name ? await byName(client().query.list(options), query.Name) : undefined
    if (known) await client().query.update(known.ID, query, options)
    const id = known?.ID ?? (await client().query.create(query, options))
    if (json) return printJson({ ID: id, Replaced: known !== undefined })
    print(`${known ? 'replaced' : 'created'} ${printable(query.Name || id)}${query.Name ? ` (${id})` : ''}`)
  },
})

const execute = defineCommand({
  examples: [
    { line: 'atoll prepared execute web', says: 'the instances that it selects now' },
    { line: 'atoll prepared execute web --limit 1 --json', says: 'one, with all that is known of it' },
  ],
  arguments: [QUERY],
  flags: {
    ...DC_FLAG,
    ...CONSISTENCY_FLAGS,
    near: { type: 'string', value: 'node', purpose: 'nearest first, as seen from this node; _agent for the asked one' },
    sort: { type: 'string', choices: ['load'], purpose: 'the least busy first, by what instances report' },
    limit: { type: 'number', value: 'count', purpose: 'at most so many' },
  },
  async run({ name, args, client, flags, json, paint, print, printJson, printTable }) {
    const asked = client().query.execute(args[0]!, {
      ...readOptions(name, flags),
      ...(flags.near === undefined ? {} : { near: flags.near }),
      ...(flags.sort === undefined ? {} : { sort: 'load' }),
      ...(flags.limit === undefined ? {} : { limit: flags.limit }),
    })
    const { value, meta } = await orMissing(asked, args[0]!)
    if (json) return printJson(value)
    if (value.Nodes.length === 0) {
      throw new Failure('not-found', `"${printable(args[0]!)}" selects no instance of ${printable(value.Service)}`)
    }
    printTable(
      [{ title: 'NODE', cut: true }, { title: 'ID', cut: true }, { title: 'ADDRESS' }, { title: 'TAGS', cut: true }],
      value.Nodes.map(({ Node, Service }): Cell[] => [
        Node.Node,
        Service.ID,
        hostPort(Service.Address || Node.Address, Service.Port),
        (Service.Tags ?? []).join(', '),
      ]),
    )
    const origin = describeOrigin(meta, flags.dc, paint)
    if (origin) print(origin)
  },
})

const explain = defineCommand({
  examples: [{ line: 'atoll prepared explain db-orders', says: 'what a template stands for, for this name' }],
  arguments: [QUERY],
  flags: { ...DC_FLAG, ...CONSISTENCY_FLAGS },
  async run(context) {
    const { name, args, client, flags, json, printJson } = context
    const { value } = await orMissing(client().query.explain(args[0]!, readOptions(name, flags)), args[0]!)
    if (json) return printJson(value)
    show(context, value)
  },
})

const remove = defineCommand({
  examples: [{ line: 'atoll prepared delete web', says: 'the query of that name' }],
  arguments: [QUERY],
  flags: DC_FLAG,
  async run({ args, client, flags, json, print, printJson }) {
    const options = flags.dc === undefined ? {} : { dc: flags.dc }
    const known = await byName(client().query.list(options), args[0]!)
    if (!known) throw noSuchQuery(args[0]!)
    await client().query.delete(known.ID, options)
    if (json) return printJson({ ID: known.ID, Deleted: true })
    print(`deleted ${printable(nameOf(known))}`)
  },
})

export const command: Group = {
  examples: [
    { line: 'atoll prepared create web.json', says: 'store a query' },
    { line: 'atoll prepared execute web', says: 'see what it selects' },
  ],
  commands: {
    list: { purpose: 'list the prepared queries of a datacenter', command: list },
    create: { purpose: 'store a prepared query', command: create },
    execute: { purpose: 'show the instances that a query selects', command: execute },
    explain: { purpose: 'show what a name stands for', command: explain },
    delete: { purpose: 'remove a prepared query', command: remove },
  },
}

const nameOf = ({ Name, ID, Template }: PreparedQueryJson): string => (Template?.Type ? `${Name}*` : Name || ID)

function failoverOf({ Service: { Failover } }: PreparedQueryJson): string {
  const named = [...(Failover?.Datacenters ?? []), ...(Failover?.Targets ?? []).map(({ Datacenter }) => Datacenter)]
  const nearest = Failover?.NearestN ? [`${Failover.NearestN} nearest`] : []
  return [...nearest, ...named].join(', ') || '-'
}

function show({ printTable }: Context, query: PreparedQueryJson): void {
  const { Service } = query
  const pairs = (record: Readonly<Record<string, string>> | null | undefined): string =>
    Object.entries(record ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(', ')
  const rows: [string, string][] = [
    ['query', nameOf(query)],
    ['service', Service.Service],
    ['tags', (Service.Tags ?? []).join(', ')],
    ['instances', Service.OnlyPassing ? 'passing' : 'passing, and in warning'],
    ['checks ignored', (Service.IgnoreCheckIDs ?? []).join(', ')],
    ['node meta', pairs(Service.NodeMeta)],
    ['service meta', pairs(Service.ServiceMeta)],
    ['near', Service.Near ?? ''],
    ['sort', Service.Sort ?? ''],
    ['failover', failoverOf(query)],
    ['DNS TTL', query.DNS?.TTL ?? ''],
  ]
  printTable(
    [{ title: '' }, { title: '', cut: true }],
    rows.filter(([, value]) => value !== ''),
  )
}

function definitionOf(source: string, bytes: Uint8Array): PreparedQueryDefinition {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as PreparedQueryDefinition
  } catch (error) {
    throw new Failure('invalid', `${source} is no JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Queries are changed by their ids; people know their names. */
async function byName(
  listed: Promise<{ readonly value: readonly PreparedQueryJson[] }>,
  nameOrId: string,
): Promise<PreparedQueryJson | undefined> {
  const wanted = nameOrId.toLowerCase()
  return (await listed).value.find(({ ID, Name }) => ID === wanted || Name.toLowerCase() === wanted)
}

async function orMissing<T>(asked: Promise<T>, query: string): Promise<T> {
  try {
    return await asked
  } catch (error) {
    if (isClientError(error) && error.status === 404) throw noSuchQuery(query)
    throw error
  }
}

const noSuchQuery = (query: string): Failure =>
  new Failure('not-found', `there is no prepared query "${printable(query)}"`, 'list them with: atoll prepared list')
