/** Gateways that were known when the node last ran, so that it finds the mesh again without its join addresses. */
import type { PeerAddress } from '../federation/host.ts'
import { messageOf } from '../model/errors.ts'
import type { Disk, Logger } from '../runtime/ports.ts'

export type KnownPeer = PeerAddress & { readonly datacenter: string }

const FILE = 'peers.json'
const VERSION = 1
const MAX_PEERS = 1_000

/** Empty when nothing usable is there: this list is a help, not a truth. */
export async function loadKnownPeers(disk: Disk, directory: string | undefined, logger: Logger): Promise<KnownPeer[]> {
  if (directory === undefined) return []
  try {
    const stored = await disk.read(disk.join(directory, FILE))
    if (stored === undefined) return []
    const { version, peers } = JSON.parse(new TextDecoder().decode(stored)) as { version: number; peers: unknown }
    if (version !== VERSION || !Array.isArray(peers)) return []
    return peers.filter(isKnownPeer).slice(0, MAX_PEERS)
  } catch (error) {
    logger.warn({ file: FILE, reason: messageOf(error) }, 'the list of known peers cannot be read; going on without it')
    return []
  }
}

export async function saveKnownPeers(disk: Disk, directory: string, peers: readonly KnownPeer[]): Promise<void> {
  const text = JSON.stringify({ version: VERSION, peers: peers.slice(0, MAX_PEERS) })
  await disk.writeAtomic(disk.join(directory, FILE), new TextEncoder().encode(text))
}

function isKnownPeer(value: unknown): value is KnownPeer {
  const peer = value as Partial<KnownPeer> | null
  return (
    typeof peer?.peerId === 'string' &&
    typeof peer.datacenter === 'string' &&
    Array.isArray(peer.addresses) &&
    peer.addresses.every((address) => typeof address === 'string')
  )
}
