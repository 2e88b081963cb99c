/** Federation hosts on loopback, for tests. */

import type { Host } from '../../src/federation/host.ts'
import { devAuthority } from '../../src/federation/transport/authority.ts'
import { type HostOptions, openHost } from '../../src/federation/transport/host.ts'
import { freshIdentity, type Identity } from '../../src/federation/transport/identity.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { systemRandom } from '../../src/runtime/random.ts'

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
  const endMs = systemClock.nowMs() + timeoutMs
  for (;;) {
    const value = what()
    if (value) return value
    if (systemClock.nowMs() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await systemClock.sleep(2)
  }
}

/** Collects what nobody caught, from now on; for a test that says there was nothing. */
export function trapUncaught(): { readonly errors: readonly unknown[]; release(): void } {
  const errors: unknown[] = []
  const trap = (error: unknown): void => {
    errors.push(error)
  }
  process.on('unhandledRejection', trap)
  process.on('uncaughtException', trap)
  return {
    errors,
    release() {
      process.off('unhandledRejection', trap)
      process.off('uncaughtException', trap)
    },
  }
}
