import type { Stream } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Clock } from '../../runtime/ports.ts'

/** What is taken in one turn of the event loop. Node and Deno hand over no more at once, Bun up to 512 KB. */
const SLICE_BYTES = 64 << 10
/** More is not read before what is here was taken. */
const HOLD_BYTES = 512 << 10

/** What is used of connections beyond their published interface. */
export interface Receiving {
  readonly readStatus: Stream['readStatus']
  onData(data: Uint8Array | Uint8ArrayList): void
  onTransportClosed(error?: Error): void
  onRemoteReset(): void
  sendPause(): void
  sendResume(): void
}

/**
 * Has a connection take long pieces of what arrives in slices, each in a turn of its own: to decrypt them and to work off what is
 * in them takes milliseconds.
 */
export function inSlices(connection: Receiving, clock: Pick<Clock, 'after'>): void {
  const queue: (Uint8Array | Uint8ArrayList)[] = []
  let queuedBytes = 0
  let held = false
  const take = connection.onData.bind(connection)
  const takeNext = (): void => {
    const slice = queue.shift()
    if (slice === undefined) return
    queuedBytes -= slice.byteLength
    take(slice)
  }
  const turn = (): void => {
    takeNext()
    if (queue.length > 0) clock.after(0, turn)
    else if (held) {
      held = false
      if (connection.readStatus === 'readable') connection.sendResume()
    }
  }
  connection.onData = (data) => {
    if (queue.length === 0 && data.byteLength <= SLICE_BYTES) return take(data)
    if (queue.length === 0) clock.after(0, turn)
    queue.push(...slicesOf(data))
    queuedBytes += data.byteLength
    if (queuedBytes < HOLD_BYTES || held) return
    held = true
    connection.sendPause()
  }
  for (const end of ['onTransportClosed', 'onRemoteReset'] as const) {
    const ended = connection[end].bind(connection)
    connection[end] = (error?: Error) => {
      // All that came before the end.
      while (queue.length > 0) takeNext()
      ended(error)
    }
  }
}

function* slicesOf(data: Uint8Array | Uint8ArrayList): Generator<Uint8Array | Uint8ArrayList> {
  for (let from = 0; from < data.byteLength; from += SLICE_BYTES) {
    const end = Math.min(data.byteLength, from + SLICE_BYTES)
    yield data instanceof Uint8Array ? data.subarray(from, end) : data.sublist(from, end)
  }
}
