/** `node test/replay/report.ts [scenario...]`: what differs from the recordings and is not listed as a deviation. */
import { explain } from './deviations.ts'
import { startScenario } from './node-process.ts'
import { loadRecording, SCENARIOS, type Scenario } from './recording.ts'
import { replay } from './replay.ts'

const scenarios = (process.argv.slice(2) as Scenario[]).filter((name) => SCENARIOS.includes(name))
for (const scenario of scenarios.length > 0 ? scenarios : SCENARIOS) {
  const agents = await startScenario(scenario)
  try {
    const differences = await replay(loadRecording(scenario), { agents })
    const { unexplained } = explain(scenario, differences)
    console.log(`${scenario}: ${differences.length} differences, ${unexplained.length} unexplained`)
    for (const { step, name, request, what, recorded, got } of unexplained) {
      const show = (value: unknown): string => (JSON.stringify(value) ?? 'nothing').slice(0, 300)
      console.log(`  ${step} ${name} (${request.slice(0, 120)})\n    ${what}: ${show(recorded)} -> ${show(got)}`)
    }
  } finally {
    await Promise.all(Object.values(agents).map((agent) => agent.stop()))
  }
}
