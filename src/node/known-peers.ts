/** Gateways that were known when the node last ran, so that it finds the mesh again without its join addresses. */

import type { Federation } from '../federation/federation.ts'
import type { PeerAddress } from '../federation/host.ts'
import { messageOf } from '../model/errors.ts'
import type { Clock, Disk, Logger, Timer } from '../runtime/ports.ts'

export type KnownPeer = PeerAddress & { readonly datacenter: string }

const FILE = 'peers.json'
const VERSION = 1
const MAX_PEERS = 1_000
/** What changes within so long is written once. */
const SAVE_AFTER_MS = 1_000

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

export interface KeepPeersOptions {
  readonly disk: Disk
  readonly directory: string
  readonly federation: Pick<Federation, 'knownPeers' | 'onChange'>
  readonly clock: Clock
  readonly logger: Logger
}

/** Writes the list whenever it changes: a node that is killed finds the mesh again too. `stop` writes it once more; it never rejects. */
export function keepKnownPeers(options: KeepPeersOptions): { stop(): Promise<void> } {
  const { disk, directory, federation, clock, logger } = options
  let written = ''
  let timer: Timer | undefined
  let writing: Promise<void> = Promise.resolve()
  const write = async (): Promise<void> => {
    try {
      const peers = federation.knownPeers().slice(0, MAX_PEERS)
      const text = JSON.stringify({ version: VERSION, peers })
      // Whoever sees nobody now is helped most by those of before.
      if (peers.length === 0 || text === written) return
      await disk.makeDirectory(directory)
      await disk.writeAtomic(disk.join(directory, FILE), new TextEncoder().encode(text))
      written = text
    } catch (error) {
      logger.warn({ file: FILE, reason: messageOf(error) }, 'the list of known peers cannot be written')
    }
  }
  const writeSoon = (): void => {
    timer ??= clock.after(SAVE_AFTER_MS, () => {
      timer = undefined
      writing = writing.then(write)
    })
  }
  const stopListening = federation.onChange(writeSoon)
  return {
    async stop() {
      stopListening()
      timer?.cancel()
      await writing.then(write)
    },
  }
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
