import { defineCommand } from './command.ts'
import { printable } from './style.ts'

export const command = defineCommand({
  examples: [
    { line: 'atoll leave', says: 'the asked node deregisters itself and all its services, and ends' },
    { line: 'atoll leave --failed eu-1-web-3', says: 'a node that is gone for good: take it out of the catalog' },
  ],
  flags: {
    failed: { type: 'string', value: 'node', purpose: 'declare this failed node left, rather than leaving' },
  },
  async run({ client, flags, json, print, printJson }) {
    const { agent } = client()
    if (flags.failed !== undefined) {
      await agent.forceLeave(flags.failed)
      return json ? printJson({ Left: flags.failed }) : print(`${printable(flags.failed)} is out of the catalog`)
    }
    const { value } = await agent.self()
    await agent.leave()
    const node = value.Config.NodeName
    return json ? printJson({ Left: node }) : print(`${printable(node)} leaves ${printable(value.Config.Datacenter)}`)
  },
})
