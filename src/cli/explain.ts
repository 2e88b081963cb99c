import type { ExplainedDatacenterJson, ExplanationJson } from '../client/client.ts'
import { type Context, defineCommand, Failure } from './command.ts'
import { type Cell, formatAge, formatMs, hostPort, printable, statusTone } from './style.ts'

export const command = defineCommand({
  examples: [
    { line: 'atoll explain web', says: 'where a lookup of web goes now, and why not elsewhere' },
    { line: 'atoll explain web --json | jq -r .Chosen', says: 'for a script' },
  ],
  arguments: [{ name: 'service', purpose: 'name of the service' }],
  flags: {},
  notes: [
    'Every datacenter is a candidate, listed in the order in which a plain "atoll query --passing" considers them.',
  ],
  async run(context) {
    const service = context.args[0]!
    const { value } = await context.client().mesh.explain(service)
    if (context.json) return context.printJson(value)
    if (value.Candidates.every((candidate) => candidate.Instances === 0)) {
      throw new Failure(
        'not-found',
        `no instance of "${printable(service)}" is known in any datacenter`,
        'list what there is with: atoll services',
      )
    }
    show(context, value)
  },
})

function show(
  { paint, print, printTable }: Context,
  { Service, Datacenter, Chosen, Candidates }: ExplanationJson,
): void {
  const asked = `a lookup of ${printable(Service)} in ${printable(Datacenter)}`
  if (Chosen === null) print(paint('bad', `${asked} finds nothing that passes`))
  else if (Chosen === Datacenter) print(`${asked} is answered ${paint('good', 'here')}`)
  else print(`${asked} fails over to ${paint('warn', printable(Chosen))}`)
  print()
  printTable(
    [
      { title: '' },
      { title: 'DC' },
      { title: 'DISTANCE', align: 'right' },
      { title: 'AGE', align: 'right' },
      { title: 'PASSING', align: 'right' },
      { title: 'WHY', cut: true },
    ],
    Candidates.map(row),
  )
  const entries = Candidates.flatMap((candidate) =>
    candidate.Entries.map((entry) => entryRow(candidate.Datacenter, entry)),
  )
  if (entries.length === 0) return
  print()
  printTable(
    [
      { title: 'DC' },
      { title: 'NODE', cut: true },
      { title: 'ID', cut: true },
      { title: 'ADDRESS' },
      { title: 'STATUS' },
      { title: 'FAILING CHECKS', cut: true },
    ],
    entries,
  )
}

const row = (candidate: ExplainedDatacenterJson): Cell[] => [
  candidate.Chosen ? ['good', '->'] : '',
  candidate.Own ? `${candidate.Datacenter} (here)` : candidate.Datacenter,
  candidate.Own ? '-' : formatMs(candidate.DistanceMs),
  candidate.Own ? '-' : formatAge(candidate.AgeMs),
  `${candidate.Passing} of ${candidate.Instances}`,
  candidate.Reachable ? candidate.Reason : (['warn', candidate.Reason] as const),
]

const entryRow = (datacenter: string, entry: ExplainedDatacenterJson['Entries'][number]): Cell[] => [
  datacenter,
  entry.Node,
  entry.ServiceID,
  hostPort(entry.Address, entry.Port),
  [statusTone(entry.Status), entry.Status],
  entry.Failing.join(', '),
]
