import manifest from '../../package.json' with { type: 'json' }
import { defineCommand } from './command.ts'

export const command = defineCommand({
  examples: [
    { line: 'atoll version', says: 'of this program and its runtime' },
    { line: 'atoll version --agent', says: 'and of the node' },
  ],
  flags: {
    format: {
      type: 'string',
      choices: ['json', 'pretty'],
      hidden: true,
      purpose: "as Consul's: json is the same as --json",
    },
    agent: { type: 'boolean', purpose: 'ask the node for its version too' },
  },
  async run({ client, flags, json, print, printJson }) {
    const agent = flags.agent ? (await client().agent.self()).value.Config : undefined
    const runtime = runtimeName()
    if (json || flags.format === 'json')
      return printJson({ Version: manifest.version, Runtime: runtime, Agent: agent?.Version })
    print(`atoll ${manifest.version} (${runtime})`)
    if (agent) print(`node ${agent.NodeName} runs ${agent.Version}`)
  },
})

function runtimeName(): string {
  const { bun, deno, node } = process.versions as Record<string, string | undefined>
  return bun ? `bun ${bun}` : deno ? `deno ${deno}` : `node ${node}`
}
