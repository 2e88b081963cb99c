/**
 * What happened, as a hash that is the same whenever a seed is run again, on every runtime; and in words when somebody
 * wants to read it.
 */
import { createHash, type Hash } from 'node:crypto'

export class Trace {
  #low = 0x811c9dc5
  #high = 0x01000193
  /** Set: every line is handed over too. */
  readonly #print: ((line: string) => void) | undefined
  nowMs = 0

  constructor(print?: (line: string) => void) {
    this.#print = print
  }

  /** Numbers are taken to a thousandth. */
  note(a: number, b = 0, c = 0, d = 0): void {
    this.#mix(a)
    this.#mix(b)
    this.#mix(c)
    this.#mix(d)
  }
  #mix(value: number): void {
    const scaled = Math.floor(value * 1000)
    this.#low = Math.imul(this.#low ^ (scaled | 0), 0x01000193)
    this.#high = Math.imul(this.#high ^ (Math.floor(scaled / 2 ** 32) | 0) ^ (this.#low >>> 15), 0x85ebca6b)
  }

  get verbose(): boolean {
    return this.#print !== undefined
  }
  /** Only called when `verbose`, so that nobody pays for words that nobody reads. */
  say(line: string): void {
    this.#print?.(`${this.nowMs.toFixed(1).padStart(9)}  ${line}`)
  }

  get hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0')
  }
}

/** Of a whole run: over the hashes of its seeds. */
export function hashOfHashes(hashes: readonly string[]): string {
  const hash: Hash = createHash('sha256')
  for (const one of hashes) hash.update(one)
  return hash.digest('hex').slice(0, 16)
}
