import { type Appendable, Uint8ArrayList } from 'uint8arraylist'

/** Smaller pieces cost more than their bytes: each is an object of some hundred. */
const SMALL_BYTES = 1 << 10
/** A piece keeps the whole buffer that it was cut out of: at most so many times its own bytes. */
const MAX_KEPT = 4
/** Small pieces are gathered in buffers of this size. */
const PAGE_BYTES = 16 << 10

/** What there is of a list beyond its published interface. */
interface Parts {
  bufs: Uint8Array[]
  length: number
}

/** Whether the memory that a piece keeps is out of proportion to its bytes. */
const isLoose = (piece: Uint8Array): boolean =>
  piece.byteLength < SMALL_BYTES || piece.byteLength * MAX_KEPT < piece.buffer.byteLength

/** The same bytes, in a buffer that is at most so many times as large. */
export const compact = (piece: Uint8Array, maxTimes = MAX_KEPT): Uint8Array =>
  piece.byteLength * maxTimes < piece.buffer.byteLength ? Uint8Array.prototype.slice.call(piece) : piece

/**
 * A list for what waits: whoever fills it with tiny pieces of large buffers makes it keep little more than their bytes. What it gets
 * while it is empty is kept as it is, and costs nothing when it is taken before more comes.
 */
export class PackedList extends Uint8ArrayList {
  #page: Uint8Array | undefined
  #filled = 0
  /** The first piece was not looked at yet. */
  #asItCame = false

  override appendAll(added: Appendable[]): void {
    if (this.byteLength === 0) {
      this.#page = undefined
      this.#asItCame = true
      super.appendAll(added)
      return
    }
    if (this.#asItCame) this.#packFirst()
    for (const one of added) {
      if (one instanceof Uint8Array) this.#add(one)
      else for (const piece of one) this.#add(piece)
    }
  }

  #packFirst(): void {
    this.#asItCame = false
    const pieces = [...this]
    this.consume(this.byteLength)
    for (const piece of pieces) this.#add(piece)
  }

  #add(piece: Uint8Array): void {
    if (!isLoose(piece)) {
      super.appendAll([piece])
      return
    }
    for (let from = 0; from < piece.byteLength; ) {
      if (this.#page === undefined || this.#filled === PAGE_BYTES) {
        this.#page = new Uint8Array(PAGE_BYTES)
        this.#filled = 0
      }
      const count = Math.min(piece.byteLength - from, PAGE_BYTES - this.#filled)
      this.#page.set(piece.subarray(from, from + count), this.#filled)
      this.#lengthen(this.#page, count)
      from += count
    }
  }

  /** By bytes that stand in the page, behind those that are in the list already where it ends with them. */
  #lengthen(page: Uint8Array, count: number): void {
    const list = this as unknown as Parts
    const last = list.bufs.at(-1)
    const begin = this.#filled
    this.#filled += count
    if (last?.buffer !== page.buffer) {
      super.appendAll([page.subarray(begin, this.#filled)])
      return
    }
    list.bufs[list.bufs.length - 1] = page.subarray(last.byteOffset, this.#filled)
    list.length += count
  }
}
