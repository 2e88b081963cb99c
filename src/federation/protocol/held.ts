/** Deltas that came before what they build upon: gossip keeps no order. Bounded; what does not fit is asked for later. */
import { compareEpoch, type Epoch } from '../../model/epoch.ts'
import { type DeltaMessage, sizeOfChange } from './messages.ts'

const MAX_HELD = 128
const MAX_HELD_BYTES = 2 * 1024 * 1024

interface Held {
  readonly message: DeltaMessage
  readonly envelope: Uint8Array
  readonly bytes: number
}

export class HeldDeltas {
  #held: Held[] = []
  #bytes = 0

  hold(message: DeltaMessage, envelope: Uint8Array): void {
    const bytes = message.changes.reduce((sum, change) => sum + sizeOfChange(change), envelope.length)
    if (this.#held.length >= MAX_HELD || this.#bytes + bytes > MAX_HELD_BYTES) return
    this.#held.push({ message, envelope, bytes })
    this.#bytes += bytes
  }

  /** One that a replica at `revision` of `epoch` can apply. */
  next(epoch: Epoch, revision: number): Held | undefined {
    return this.#held.find(
      ({ message: { head, from } }) =>
        from <= revision && head.revision > revision && compareEpoch(head.epoch, epoch) === 'same',
    )
  }

  /** Keeps what is of the epoch that counts, `top`, and not yet behind a replica at `revision` of `epoch`. */
  forget(top: Epoch | undefined, epoch: Epoch | undefined, revision: number): void {
    if (this.#held.length === 0) return
    const isSame = (a: Epoch, b: Epoch | undefined): boolean => b !== undefined && compareEpoch(a, b) === 'same'
    this.#held = this.#held.filter(
      ({ message: { head } }) => isSame(head.epoch, top) && !(isSame(head.epoch, epoch) && head.revision <= revision),
    )
    this.#bytes = this.#held.reduce((sum, { bytes }) => sum + bytes, 0)
  }
}
