import type { Clock, Logger, Random } from '../../runtime/ports.ts'
import type { Host } from '../host.ts'
import type { Authority } from './authority.ts'
import type { SelfFacts } from './credentials.ts'
import type { Identity } from './identity.ts'
import type { HostLimits } from './limits.ts'
import type { TransportFactory } from './tcp.ts'

export interface HostOptions {
  readonly identity: Identity
  readonly authority: Authority
  readonly self: SelfFacts
  /** An IP address (or `localhost`) and a TCP port; 0 picks a free one. */
  readonly listen: { readonly host: string; readonly port: number }
  /** Multiaddrs that others are told to dial instead of those that are listened on; without the /p2p part. */
  readonly announce?: readonly string[]
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly limits?: Partial<HostLimits>
  /** Puts something around the TCP transport: an emulated WAN. */
  readonly wrapTransport?: (factory: TransportFactory) => TransportFactory
}

/**
 * A Host over libp2p (TCP, Noise, Yamux, gossipsub). libp2p is loaded here and not before. Rejects with AtollError
 * 'unavailable' when the address cannot be listened on, 'invalid' when it is none, and as the authority does.
 */
export async function openHost(options: HostOptions): Promise<Host> {
  const { Libp2pHost } = await import('./libp2p-host.ts')
  return Libp2pHost.open(options)
}
