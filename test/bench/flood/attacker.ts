/**
 * A peer that has a valid certificate, of a server of datacenter xx-1, and means ill.
 *
 *   node test/bench/flood/attacker.ts <flood|gossip|calls|tails|mute> <address of the victim>
 *
 * `flood`: gossip, calls, greetings, tails and snapshots as fast as it can, or one of them. `mute`: has the victim send it as much as it can,
 * and reads nothing of it. Ends when standard input closes, and says how much it did.
 */
import type { MultiaddrConnection } from '@libp2p/interface'
import { devAuthority } from '../../../src/federation/transport/authority.ts'
import { openHost } from '../../../src/federation/transport/host.ts'
import { freshIdentity } from '../../../src/federation/transport/identity.ts'
import type { TransportFactory } from '../../../src/federation/transport/tcp.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { systemRandom } from '../../../src/runtime/random.ts'
import { type Attack, calls, gossip, snapshotAsk, tails } from './attacks.ts'

const [mode, address] = process.argv.slice(2)
const goesOn = true
const sockets = new Set<MultiaddrConnection>()

/** Remembers its sockets, so that it can leave them unread. */
const remembering = (factory: TransportFactory): TransportFactory => {
  return (components) => {
    const transport = factory(components)
    const dial = transport.dial.bind(transport)
    transport.dial = (to, options) => {
      const upgrader = new Proxy(options.upgrader, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name)
          if (typeof value !== 'function') return value
          if (name !== 'upgradeOutbound') return value.bind(target)
          return (connection: MultiaddrConnection, rest: unknown) => {
            sockets.add(connection)
            return value.call(target, connection, rest)
          }
        },
      })
      return dial(to, { ...options, upgrader })
    }
    return transport
  }
}

const host = await openHost({
  identity: freshIdentity(systemRandom),
  authority: devAuthority('flood'),
  self: { datacenter: 'xx-1', node: 'evil', nodeId: systemRandom.uuid(), role: 'server' },
  listen: { host: '127.0.0.1', port: 0 },
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
  wrapTransport: remembering,
  limits: { maxSilenceMs: 600_000, maxGossipQueue: 1 << 20 },
})
const done = new Map<string, number>()
// As a server does that is greeted back.
host.handle('mesh.hello', () => new Promise(() => {}))
host.onGossip(() => 'ignore')

async function joined(): Promise<Attack> {
  for (;;) {
    const peer = host.peers()[0] ?? (await host.join(address!, { deadlineMs: 5000 }).catch(() => undefined))
    if (peer !== undefined)
      return { host, victim: peer.peerId, goesOn: () => goesOn && host.peer(peer.peerId) !== undefined, done }
    await systemClock.sleep(100)
  }
}

async function flood(): Promise<void> {
  const attack = await joined()
  done.set('connections', (done.get('connections') ?? 0) + 1)
  const attacks = { gossip, calls, tails }
  const chosen = Object.entries(attacks).filter(([name]) => mode === 'flood' || mode === name)
  await Promise.all(chosen.map(([, run]) => run(attack)))
}

/** Asks for much on every way, then stops to read; comes again when it is hung up on. */
async function mute(): Promise<void> {
  const attack = await joined()
  done.set('connections', (done.get('connections') ?? 0) + 1)
  for (let i = 0; i < 32; i++) {
    const stream = await host.openStream(attack.victim, 'mute', { deadlineMs: 1000 }).catch(() => undefined)
    stream?.abort(new Error('no such protocol'))
  }
  for (let i = 1; i <= 32; i++) {
    const stream = await host.openStream(attack.victim, '/atoll/tail/1', { deadlineMs: 2000 }).catch(() => undefined)
    await stream?.send(snapshotAsk('eu-1', i)).catch(() => {})
  }
  for (const socket of sockets) if (socket.status === 'open') socket.pause()
  await calls(attack, 1000)
}

process.stdin.resume()
process.stdin.on('end', () => {
  console.log(JSON.stringify(Object.fromEntries(done)))
  process.exit(0)
})
console.log('{}')
while (goesOn) {
  await (mode === 'mute' ? mute() : flood()).catch(() => {})
  await systemClock.sleep(100)
}
