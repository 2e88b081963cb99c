/**
 * Two processes that use one key at the same time: a disk or a virtual machine was copied. A process that merely started anew
 * has the key for itself: its former life answers no more.
 */
import { AtollError } from '../../model/errors.ts'
import type { Clock } from '../../runtime/ports.ts'
import type { PeerIdentity, Twin } from '../host.ts'
import type { Secured } from './encrypter.ts'
import type { Link, Links } from './links.ts'

/** `AtollError.field` of every refusal for this reason. */
export const KEY_FIELD = 'identity.key'

/** A peer is refused: another process that started earlier uses its key. */
export class KeyInUse extends AtollError {
  /** Where that one was seen. */
  readonly kept: string

  constructor({ node, datacenter }: PeerIdentity, kept: string) {
    const message = `identity.key: another process uses the key of ${node} (${datacenter}) and started earlier; give this one a data directory of its own`
    super('forbidden', message, { field: KEY_FIELD })
    this.kept = kept
  }
}
/** How long the process that is connected has to show that it lives. */
const ANSWER_MS = 1000
/** Started together, as far as observers at different distances can tell; then their boot ids decide, for all alike. */
const TOGETHER_MS = 1000

/** One process, as an observer times it on its own clock. */
export interface Life {
  readonly bootId: string
  /** undefined for a node that is too old to say. */
  readonly startedMs: number | undefined
}

/** Whether `a` is to give way to `b`: the later one of two. undefined when that cannot be told. */
export function startedLater(a: Life, b: Life): boolean | undefined {
  if (a.startedMs === undefined || b.startedMs === undefined) return undefined
  const laterMs = a.startedMs - b.startedMs
  return Math.abs(laterMs) < TOGETHER_MS ? a.bootId > b.bootId : laterMs > 0
}

export interface TwinsOptions {
  readonly clock: Clock
  readonly links: Pick<Links, 'get' | 'answers' | 'drop'>
  readonly self: () => PeerIdentity
  readonly own: Life
  readonly onTwin: (twin: Twin) => void
}

export class Twins {
  readonly #options: TwinsOptions

  constructor(options: TwinsOptions) {
    this.#options = options
  }

  /** Rejects with KeyInUse when a process that started earlier has this key and lives. */
  async admit(newcomer: Secured, address: string): Promise<void> {
    const { links } = this.#options
    const current = links.get(newcomer.identity.peerId)
    if (current === undefined || current.secured.bootId === newcomer.bootId) return
    const later = startedLater(newcomer, current.secured)
    if (later === undefined || !(await links.answers(current, ANSWER_MS))) return
    if (later) this.#refuse(newcomer, address, current)
    this.#tell(newcomer.identity, { kept: address, refused: current.peer.address })
    links.drop(current, 'another process that started earlier uses its key')
  }

  #refuse(newcomer: Secured, address: string, current: Link): never {
    const { identity } = newcomer
    const kept = current.peer.address
    this.#tell(identity, { kept, refused: address })
    throw new KeyInUse(identity, kept)
  }

  #tell(identity: PeerIdentity, rest: Pick<Twin, 'kept' | 'refused'>): void {
    this.#options.onTwin({ identity, own: undefined, ...rest })
  }

  /** A peer refused this node, since another process that lives at `kept` uses its key. */
  refused(kept: string): void {
    this.#options.onTwin({ identity: this.#options.self(), own: 'refused', kept, refused: '' })
  }

  /**
   * A process with this node's own key was met at `address`. Throws KeyInUse; AtollError 'unavailable' when it is this very
   * process.
   */
  met(other: Life, address: string): never {
    const { self, own, onTwin } = this.#options
    if (other.bootId === own.bootId) throw new AtollError('unavailable', 'the address leads to this node itself')
    if (startedLater(own, other) ?? false) this.refused(address)
    else onTwin({ identity: self(), own: 'kept', kept: '', refused: address })
    throw new KeyInUse(self(), address)
  }
}
