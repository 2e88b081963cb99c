import { isClientError } from '../client/client.ts'
import { defineCommand, Failure } from './command.ts'
import { printable } from './style.ts'

export const command = defineCommand({
  examples: [
    { line: 'atoll join 10.0.0.7:8300', says: 'a node of any datacenter of the mesh; the rest is found through it' },
    { line: 'atoll join /dns4/gw.us-1.example.com/tcp/8300', says: 'by multiaddr' },
  ],
  arguments: [{ name: 'address', purpose: 'host:port or multiaddr where a node takes libp2p connections', many: true }],
  flags: {},
  notes: ['An agent joins by itself when it is started with --join, and tries for as long as it takes.'],
  async run({ client, args, json, print, printJson, note }) {
    const { agent } = client()
    const joined: string[] = []
    const failed: { Address: string; Message: string }[] = []
    for (const address of args) {
      try {
        await agent.join(address)
        joined.push(address)
      } catch (error) {
        if (!isClientError(error) || error.status === 0) throw error
        failed.push({ Address: address, Message: error.message })
      }
    }
    if (json) printJson({ Joined: joined, Failed: failed })
    else {
      for (const address of joined) print(`joined ${printable(address)}`)
      for (const one of failed) note(`${printable(one.Address)}: ${printable(one.Message)}`)
    }
    if (joined.length > 0) return
    throw new Failure(
      'unavailable',
      args.length === 1 ? 'it was not joined' : 'none of them was joined',
      'is that the libp2p port (8300 unless told otherwise), and can this host reach it?',
    )
  },
})
