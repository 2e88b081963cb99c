/** Round-trip times of the last while; the smallest of them is the distance, since load only ever adds to it. */
export class RoundTrips {
  readonly #windowMs: number
  /** Times rise with age reversed: each is larger than all that came after it, so the first is the smallest. */
  readonly #samples: { atMs: number; roundTripMs: number }[] = []

  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  add(nowMs: number, roundTripMs: number): void {
    const samples = this.#samples
    while (samples.length > 0 && samples.at(-1)!.roundTripMs >= roundTripMs) samples.pop()
    samples.push({ atMs: nowMs, roundTripMs })
    this.#forget(nowMs)
  }

  /** The last sample stays however old it is: it is the best that is known. */
  smallest(nowMs: number): number | undefined {
    this.#forget(nowMs)
    return this.#samples[0]?.roundTripMs
  }

  #forget(nowMs: number): void {
    while (this.#samples.length > 1 && nowMs - this.#samples[0]!.atMs > this.#windowMs) this.#samples.shift()
  }
}
