import type { MeshDatacenterJson, MeshProblemJson, MeshStatusJson } from '../client/client.ts'
import { type Context, defineCommand, type Flags } from './command.ts'
import { type Cell, formatAge, formatMs, type Paint, printable, statusTone } from './style.ts'

const flags = {
  links: { type: 'boolean', purpose: 'list the connections of the asked node too' },
} as const satisfies Flags

export const command = defineCommand({
  examples: [
    { line: 'atoll mesh', says: 'every datacenter as this node sees it' },
    { line: 'atoll mesh --links', says: 'and whom it is connected to' },
    {
      line: 'atoll mesh --json | jq \'.Datacenters[] | select(.State != "live")\'',
      says: 'what is wrong, for a script',
    },
  ],
  flags,
  notes: [
    'STATE: live, overdue (a sign of life is late), limited (it says more than is accepted), lost (not heard of lately), or quarantined (two stores claim the name); `via` names the datacenter that passes calls on where there is no direct way. RTT is measured on the way that works, the least of a while; with ~ it is estimated. REVISION is where the copy held here stands, BEHIND how many revisions its datacenter has announced beyond that, AGE for how long it has not been at the newest.',
  ],
  async run(context) {
    const { value } = await context.client().mesh.status()
    if (context.json) return context.printJson(value)
    show(context, value)
  },
})

function show({ flags: values, paint, print, printTable }: Context<typeof flags>, mesh: MeshStatusJson): void {
  printTable(
    [
      { title: 'DC' },
      { title: 'STATE' },
      { title: 'RTT', align: 'right' },
      { title: 'REVISION', align: 'right' },
      { title: 'BEHIND', align: 'right' },
      { title: 'AGE', align: 'right' },
      { title: 'GATEWAYS', cut: true },
    ],
    mesh.Datacenters.map(row),
  )
  if (values.links) {
    print()
    printTable(
      [
        { title: 'CONNECTED TO', cut: true },
        { title: 'DC' },
        { title: 'ROLE' },
        { title: 'RTT', align: 'right' },
        { title: 'DIRECTION' },
        { title: 'ADDRESS', cut: true },
      ],
      mesh.Links.map((link) => [
        link.Node || link.PeerID,
        link.Datacenter,
        link.Role,
        formatMs(link.RoundTripMs),
        link.Direction,
        link.Via ? `via ${link.Via.Node}` : link.Address,
      ]),
    )
  }
  for (const problem of mesh.Problems ?? []) print(problemLine(problem, paint))
  const seen = `as seen by ${printable(mesh.Node)}, a ${mesh.Role} of ${printable(mesh.Datacenter)} on ${printable(mesh.Runtime)}`
  print(paint('dim', `${seen}, with ${mesh.Links.length} ${mesh.Links.length === 1 ? 'link' : 'links'}`))
}

const WARNINGS: readonly string[] = ['restored', 'store-behind']

function problemLine({ Kind, Message, LastSeenMs }: MeshProblemJson, paint: Paint): string {
  const tone = WARNINGS.includes(Kind) ? 'warn' : 'bad'
  return `${paint(tone, `${printable(Kind)}:`)} ${printable(Message)} ${paint('dim', `(seen ${formatMs(LastSeenMs)} ago)`)}`
}

function row(datacenter: MeshDatacenterJson): Cell[] {
  const { Datacenter, Own, State, Suspected, Limited, RoundTripMs, RoundTripEstimated, Gateways, Replica } = datacenter
  const notes = [...(Suspected ? ['overdue'] : []), ...(Limited ? ['limited'] : []), ...wayNotes(datacenter)]
  const state = State === 'live' ? [State, ...notes].join(', ') : State
  const connected = Gateways.filter((gateway) => gateway.Connected).length
  return [
    Own ? `${Datacenter} (here)` : Datacenter,
    [state === State ? statusTone(State) : 'warn', state],
    Own ? '-' : `${RoundTripEstimated ? '~' : ''}${formatMs(RoundTripMs)}`,
    Replica ? String(Replica.Revision) : '-',
    Replica ? String(Math.max(0, Replica.HeadRevision - Replica.Revision)) : '-',
    Own ? '-' : formatAge(Replica?.AgeMs),
    Own ? Gateways.map((gateway) => gateway.Node).join(', ') : `${connected} of ${Gateways.length} connected`,
  ]
}

function wayNotes({ Own, Reachable, Via }: MeshDatacenterJson): string[] {
  if (Own) return []
  if (Via) return [`via ${printable(Via.Datacenter)}`]
  return Reachable ? [] : ['not reachable']
}
