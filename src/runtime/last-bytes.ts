/** The last bytes of a stream of them, and how many there were in all. */
export class LastBytes {
  readonly #limit: number
  #chunks: Uint8Array[] = []
  #kept = 0
  total = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Keeps a copy. */
  push(chunk: Uint8Array): void {
    this.total += chunk.length
    this.#chunks.push(chunk.slice(Math.max(0, chunk.length - this.#limit)))
    this.#kept += this.#chunks.at(-1)!.length
    while (this.#kept - this.#chunks[0]!.length >= this.#limit) this.#kept -= this.#chunks.shift()!.length
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.#kept)
    let at = 0
    for (const chunk of this.#chunks) {
      all.set(chunk, at)
      at += chunk.length
    }
    return all.subarray(Math.max(0, all.length - this.#limit))
  }
}
