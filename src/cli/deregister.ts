import { defineCommand, Failure } from './command.ts'
import { printable } from './style.ts'
import { suggest } from './suggest.ts'

export const command = defineCommand({
  examples: [
    { line: 'atoll deregister web', says: 'by id, which is the name unless it was registered with another' },
    { line: 'atoll services --local', says: 'the ids on this node' },
  ],
  arguments: [{ name: 'id', purpose: 'id of a service registered with the asked node', many: true }],
  flags: {},
  async run({ client, args, json, print, printJson }) {
    const { agent } = client()
    const { value: services } = await agent.services()
    for (const id of args) if (!Object.hasOwn(services, id)) throw unknown(id, services)
    for (const id of args) await agent.deregister(id)
    if (json) return printJson({ Deregistered: args.map((id) => ({ ID: id, Service: services[id]!.Service })) })
    for (const id of args) print(`deregistered ${printable(id)}`)
  },
})

function unknown(id: string, services: Readonly<Record<string, { readonly Service: string }>>): Failure {
  const ids = Object.keys(services)
  const named = ids.filter((one) => services[one]!.Service === id)
  const meant = named.length > 0 ? named : [suggest(id, ids)].filter((one) => one !== undefined)
  const next =
    meant.length > 0 ? `did you mean ${meant.map(printable).join(', ')}?` : 'list the ids with: atoll services --local'
  return new Failure(
    'not-found',
    `no service with id "${printable(id)}" is registered with this node; nothing was changed`,
    next,
  )
}
