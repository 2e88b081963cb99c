import type { MemberJson } from '../client/client.ts'
import { defineCommand } from './command.ts'
import { type Cell, hostPort, statusTone } from './style.ts'

/** Serf's numbers, which the API keeps. */
const STATUS: Readonly<Record<number, string>> = { 1: 'alive', 2: 'leaving', 3: 'left', 4: 'failed' }

export const command = defineCommand({
  examples: [
    { line: 'atoll members', says: 'nodes of the datacenter of the asked node' },
    { line: 'atoll members --wan', says: 'servers of all datacenters' },
    { line: 'atoll members --wan --json | jq -r .[].Name', says: 'for a script' },
  ],
  flags: {
    wan: { type: 'boolean', purpose: 'servers of all datacenters rather than nodes of this one' },
  },
  async run({ client, flags, json, printJson, printTable }) {
    const { value } = await client().agent.members({ wan: flags.wan })
    if (json) return printJson(value)
    printTable(
      [
        { title: 'NODE', cut: true },
        { title: 'ADDRESS' },
        { title: 'STATUS' },
        { title: 'ROLE' },
        { title: 'DC' },
        { title: 'RUNTIME' },
        { title: 'VERSION' },
      ],
      [...value].sort(byDatacenterAndName).map(row),
    )
  },
})

function row({ Name, Addr, Port, Status, Tags }: MemberJson): Cell[] {
  const status = STATUS[Status] ?? `unknown (${Status})`
  return [
    Name,
    Port === 0 ? Addr : hostPort(Addr, Port),
    [statusTone(status), status],
    Tags.role === 'consul' ? 'server' : 'client',
    Tags.dc ?? '',
    Tags.runtime ?? '-',
    (Tags.build ?? '').split(':')[0] || '-',
  ]
}

const byDatacenterAndName = (a: MemberJson, b: MemberJson): number =>
  (a.Tags.dc ?? '').localeCompare(b.Tags.dc ?? '') || a.Name.localeCompare(b.Name)
