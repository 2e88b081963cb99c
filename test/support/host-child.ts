/**
 * One federation host as a process of its own: takes commands as JSON lines on standard input, says what happens as JSON
 * lines on standard output, and ends when standard input closes. See `child-hosts.ts`.
 */
import { createInterface } from 'node:readline'
import { identityOf } from '../../src/federation/transport/identity.ts'
import { openTestHost } from './hosts.ts'

const [name = 'child', seed = '', port = '0'] = process.argv.slice(2)
const say = (event: Record<string, unknown>): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}
process.on('unhandledRejection', (error) => say({ event: 'uncaught', error: String(error) }))
process.on('uncaughtException', (error) => say({ event: 'uncaught', error: String(error) }))

const host = await openTestHost({
  name,
  identity: identityOf(Buffer.from(seed, 'hex')),
  listen: { host: '127.0.0.1', port: Number(port) },
})
host.onPeer(({ type, peer }) => say({ event: type, peer: peer.node }))
host.handle('echo', async (payload) => payload)
host.handleStream('count', async (stream) => {
  let bytes = 0
  try {
    for await (const frame of stream.frames()) bytes += frame.byteLength
    say({ event: 'counted', peer: stream.peer.node, bytes })
    await stream.send(Buffer.from(String(bytes)))
    await stream.close()
  } catch (error) {
    say({ event: 'broken', peer: stream.peer.node, error: String(error) })
  }
})
host.onGossip((message) => {
  say({ event: 'gossip', message: Buffer.from(message).toString() })
  return 'accept'
})

const commands: Record<string, (command: Record<string, unknown>) => Promise<unknown>> = {
  join: async ({ address }) => (await host.join(String(address), { deadlineMs: 10_000 })).node,
  want: async ({ peers }) => host.want(peers as never),
  publish: async ({ message }) => host.publish(Buffer.from(String(message))),
  call: ({ peer, payload }) => host.call(String(peer), 'echo', payload, { deadlineMs: 5000 }),
  async send({ peer, bytes }) {
    const stream = await host.openStream(String(peer), 'count', { deadlineMs: 5000 })
    const frame = new Uint8Array(64 << 10)
    for (let left = Number(bytes); left > 0; left -= frame.byteLength) await stream.send(frame.subarray(0, left))
    await stream.close()
    let answer = ''
    for await (const got of stream.frames()) answer += Buffer.from(got).toString()
    return Number(answer)
  },
  peers: async () => host.peers().map((peer) => peer.node),
}

say({ event: 'ready', peerId: host.self.peerId, address: host.addresses[0] })
const lines = createInterface({ input: process.stdin })
lines.on('line', (line) => {
  const command = JSON.parse(line) as Record<string, unknown> & { id: number; do: string }
  commands[command.do]!(command).then(
    (result) => say({ event: 'done', id: command.id, result }),
    (error: unknown) => say({ event: 'failed', id: command.id, error: String(error) }),
  )
})
lines.on('close', () => process.exit(0))
