import { defineCommand } from './command.ts'
import { CONSISTENCY_FLAGS, DC_FLAG, describeOrigin, readOptions } from './reading.ts'
import { hostPort } from './style.ts'

export const command = defineCommand({
  examples: [
    { line: 'atoll services', says: 'services of this datacenter' },
    { line: 'atoll services --dc us-1', says: 'services of another' },
    {
      line: 'atoll services --local',
      says: 'what is registered with this very node, with the ids that deregister takes',
    },
  ],
  flags: {
    ...DC_FLAG,
    ...CONSISTENCY_FLAGS,
    local: { type: 'boolean', purpose: 'only what is registered with the asked node' },
  },
  async run({ name, client, flags, json, paint, print, printJson, printTable }) {
    if (flags.local) {
      const { value } = await client().agent.services()
      if (json) return printJson(value)
      return printTable(
        [{ title: 'ID' }, { title: 'SERVICE' }, { title: 'ADDRESS' }, { title: 'TAGS', cut: true }],
        Object.values(value).map((one) => [
          one.ID,
          one.Service,
          one.Address ? hostPort(one.Address, one.Port) : one.Port ? `:${one.Port}` : '-',
          (one.Tags ?? []).join(', '),
        ]),
      )
    }
    const { value, meta } = await client().catalog.services(readOptions(name, flags))
    if (json) return printJson(value)
    printTable(
      [{ title: 'SERVICE' }, { title: 'TAGS', cut: true }],
      Object.entries(value).map(([service, tags]) => [service, tags.join(', ')]),
    )
    const origin = describeOrigin(meta, flags.dc, paint)
    if (origin) print(origin)
  },
})
