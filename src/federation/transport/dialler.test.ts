import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { addressesOf, openTestHost, type TestHostOptions, until } from '../../../test/support/hosts.ts'
import { silentLogger } from '../../runtime/logger.ts'
import { SeededRandom, VirtualClock } from '../../runtime/virtual.ts'
import type { Host } from '../host.ts'
import { Dialler } from './dialler.ts'
import type { DialAttempt } from './encrypter.ts'
import { DEFAULT_LIMITS } from './limits.ts'

const hosts: Host[] = []
const servers: Server[] = []
const sockets = new Set<Socket>()
const open = async (options: TestHostOptions): Promise<Host> => {
  const host = await openTestHost(options)
  hosts.push(host)
  return host
}
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()))
  for (const socket of sockets) socket.destroy()
  await Promise.all(servers.splice(0).map((server) => new Promise((closed) => server.close(closed))))
})
const idOf = (host: Host): string => host.self.peerId
const portOf = (host: Host): number => Number(/tcp\/(\d+)/.exec(host.addresses[0]!)![1])

/** One address with several behind it, in turn: what a load balancer or a NAT does. */
async function oneAddressFor(behind: readonly Host[]): Promise<string> {
  let turn = 0
  const server = createServer((socket) => {
    const target = connect(portOf(behind[turn++ % behind.length]!), '127.0.0.1')
    for (const [from, to] of [
      [socket, target],
      [target, socket],
    ] as const) {
      sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
      from.pipe(to)
    }
  })
  servers.push(server)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return `/ip4/127.0.0.1/tcp/${(server.address() as { port: number }).port}`
}

describe('gateways behind one address', () => {
  it('are all found, though an address may lead to another', async () => {
    const gateways = await Promise.all(['b', 'c', 'd'].map((name) => open({ name, datacenter: 'us-1' })))
    const address = await oneAddressFor(gateways)
    const a = await open({ name: 'a', limits: { redialMaxMs: 60_000, dialGraceFirstMs: 50, dialGraceMs: 50 } })
    a.want(gateways.map((host) => ({ peerId: idOf(host), addresses: [address] })))
    await until(() => gateways.every((host) => a.peer(idOf(host))), 20_000)
    expect(a.peers()).toHaveLength(3)
    for (const host of gateways) {
      host.handle('who', async () => host.self.node)
      expect(await a.call(idOf(host), 'who', null, { deadlineMs: 5000 })).toBe(host.self.node)
    }
  })

  it('do not hide the right one at another address', async () => {
    const [b, c] = await Promise.all(['b', 'c'].map((name) => open({ name, datacenter: 'us-1' })))
    const a = await open({ name: 'a', limits: { dialGraceFirstMs: 50 } })
    // What was b's address is c's now.
    a.want([{ peerId: idOf(b!), addresses: [...addressesOf(c!), ...addressesOf(b!)] }])
    expect((await until(() => a.peer(idOf(b!)))).node).toBe('b')
    // The other is a peer as any, once it is connected.
    expect(a.peer(idOf(c!))?.node).toBe('c')
  })
})

describe('a dialler', () => {
  /** Peer `b` is wanted at one address; each dial ends as `answer` says. */
  function wanting(answer: (address: string, attempt: DialAttempt) => void) {
    const clock = new VirtualClock()
    const dials: { readonly atMs: number; readonly address: string }[] = []
    const dialler = new Dialler({
      selfPeerId: 'a',
      selfRole: 'server',
      clock,
      random: new SeededRandom(1),
      logger: silentLogger,
      limits: DEFAULT_LIMITS,
      connected: () => false,
      async dial(address, attempt) {
        dials.push({ atMs: clock.nowMs(), address })
        answer(address, attempt)
      },
    })
    dialler.want([{ peerId: 'b', addresses: ['/old'] }])
    return { clock, dials, dialler }
  }
  const refuse = (): void => {
    throw new Error('refused')
  }

  it('dials a new address at once, however long the old one did not answer', async () => {
    const { clock, dials, dialler } = wanting(refuse)
    await clock.advance(60_000)
    const before = dials.length
    expect(before).toBeLessThan(25)
    dialler.want([{ peerId: 'b', addresses: ['/new'] }])
    await clock.advance(DEFAULT_LIMITS.redialMinMs * 1.25)
    expect(dials.slice(before).map(({ address }) => address)).toEqual(['/new'])
    // The same again is no news.
    const then = dials.length
    dialler.want([{ peerId: 'b', addresses: ['/new'] }])
    await clock.advance(DEFAULT_LIMITS.redialMinMs * 0.5)
    expect(dials.length).toBe(then)
    dialler.close()
  })

  it('tries an address that led to another node again soon, for a while', async () => {
    const { clock, dials, dialler } = wanting((_address, attempt) => {
      attempt.peerId = 'c'
    })
    await clock.advance(4000)
    // Twelve times about 250 ms apart, then ever longer.
    expect(dials.length).toBeGreaterThanOrEqual(11)
    const before = dials.length
    await clock.advance(60_000)
    expect(dials.length - before).toBeLessThan(22)
    dialler.close()
  })
})
