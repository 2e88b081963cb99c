/** `node test/sim/run.ts --seeds 100 --steps 5000`: see docs/simulation.md. */
import { parseArgs } from 'node:util'
import { Coverage } from './coverage.ts'
import { runSeeds } from './seeds.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    steps: { type: 'string', default: '5000' },
    datacenters: { type: 'string', default: '20' },
    gateways: { type: 'string', default: '3' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
})
const coverage = new Coverage()
const report = runSeeds({
  from: Number(values.seed ?? values.from),
  seeds: values.seed ? 1 : Number(values.seeds),
  steps: Number(values.steps),
  datacenters: Number(values.datacenters),
  gateways: Number(values.gateways),
  coverage,
  ...(values.trace && { print: (line: string) => console.log(line) }),
})
console.log(coverage.table())
console.log(report)
