import type { ServiceDefinitionJson } from '../client/client.ts'
import { type Context, defineCommand, type Flags, UsageError } from './command.ts'
import { DEFINITION_FLAGS, definitionFromFlags, definitionsFromText, ttlCheckId } from './definition.ts'
import { readInput } from './input.ts'
import { printable } from './style.ts'

const flags = {
  ...DEFINITION_FLAGS,
  file: { type: 'string', value: 'path', purpose: 'definitions as JSON instead of flags; - for standard input' },
} as const satisfies Flags

export const command = defineCommand({
  examples: [
    {
      line: 'atoll register web --port 8080 --http-check http://localhost:8080/health',
      says: 'checked every ten seconds',
    },
    {
      line: 'atoll register web --id web-2 --port 8081 --tag v2 --meta team=shop',
      says: 'a second instance on this node',
    },
    { line: 'atoll register db --port 5432 --tcp-check localhost:5432 --interval 2s', says: 'checked by connecting' },
    {
      line: 'atoll register web --port 8080 --wan-address 203.0.113.7:443',
      says: 'reachable from other datacenters too',
    },
    { line: 'atoll register --file service.json', says: "Consul's service definitions work as they are" },
  ],
  arguments: [{ name: 'name', purpose: 'what lookups will ask for', optional: true }],
  flags,
  notes: [
    'Registering an id again replaces it, its checks included. The node keeps it across restarts until it is deregistered.',
    "Here --address is the service's address: the node to register with is named by --http-addr or ATOLL_HTTP_ADDR.",
  ],
  async run(context) {
    const definitions = await readDefinitions(context)
    const { address, agent } = context.client()
    const done: { ID: string; Service: string }[] = []
    for (const definition of definitions) {
      await agent.register(definition, { replaceExistingChecks: true })
      done.push(idOf(definition))
    }
    if (context.json) return context.printJson({ Registered: done })
    for (const { ID, Service } of done) context.print(`registered ${printable(Service)} with id ${printable(ID)}`)
    if (context.flags.ttl && done[0]) {
      const path = `/v1/agent/check/pass/${encodeURIComponent(ttlCheckId(done[0].ID))}`
      context.print(`critical until reported on: curl -X PUT ${address}${path}`)
    }
  },
})

async function readDefinitions({
  name,
  args,
  flags: values,
  io,
}: Context<typeof flags>): Promise<ServiceDefinitionJson[]> {
  const [service] = args
  if (values.file === undefined) {
    if (service === undefined || service === '')
      throw new UsageError('<name> is missing: what lookups will ask for', name)
    return [definitionFromFlags(name, service, values)]
  }
  if (service !== undefined) throw new UsageError('give a <name> with flags or a --file, not both', name)
  return definitionsFromText(new TextDecoder().decode(await readInput(values.file, io)), values.file)
}

function idOf(definition: ServiceDefinitionJson): { ID: string; Service: string } {
  const { ID, id, Name, name } = definition as { ID?: string; id?: string; Name?: string; name?: string }
  const service = (Name ?? name)!
  return { ID: ID || id || service, Service: service }
}
