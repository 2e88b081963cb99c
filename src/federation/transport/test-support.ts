/** Hosts on loopback for the tests of this folder. */
import { systemClock } from '../../runtime/clock.ts'
import { silentLogger } from '../../runtime/logger.ts'
import { systemRandom } from '../../runtime/random.ts'
import type { Host } from '../host.ts'
import { devAuthority } from './authority.ts'
import { type HostOptions, openHost } from './host.ts'
import { freshIdentity, type Identity } from './identity.ts'

export const MESH = 'test'

export interface TestHostOptions extends Partial<Omit<HostOptions, 'self'>> {
  readonly name?: string
  readonly datacenter?: string
  readonly role?: 'server' | 'client'
}

export function openTestHost(options: TestHostOptions = {}): Promise<Host> {
  const { name = 'n1', datacenter = 'eu-1', role = 'server', ...rest } = options
  return openHost({
    identity: freshIdentity(systemRandom),
    authority: devAuthority(MESH),
    self: { datacenter, node: name, nodeId: systemRandom.uuid(), role },
    listen: { host: '127.0.0.1', port: 0 },
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    ...rest,
  })
}

/** Identities in the order of their peer ids, so that a test can say who dials. */
export async function orderedIdentities(count: number): Promise<Identity[]> {
  const { publicKeyFromRaw } = await import('@libp2p/crypto/keys')
  const { peerIdFromPublicKey } = await import('@libp2p/peer-id')
  const keyed = Array.from({ length: count }, () => freshIdentity(systemRandom)).map((identity) => ({
    identity,
    peerId: peerIdFromPublicKey(publicKeyFromRaw(identity.publicKey)).toString(),
  }))
  return keyed.sort((a, b) => (a.peerId < b.peerId ? -1 : 1)).map(({ identity }) => identity)
}

/** Multiaddrs without the /p2p part. */
export const addressesOf = (host: Host): string[] => host.addresses.map((address) => address.replace(/\/p2p\/.*/, ''))

export const wanted = (host: Host): { peerId: string; addresses: string[] } => ({
  peerId: host.self.peerId,
  addresses: addressesOf(host),
})

/** Polls, since what is waited for happens in other parts and processes. */
export async function until<T>(what: () => T, timeoutMs = 10_000): Promise<NonNullable<T>> {
  const end = performance.now() + timeoutMs
  for (;;) {
    const value = what()
    if (value) return value
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
