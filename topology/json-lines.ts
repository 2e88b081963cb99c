/** JSON, one value a line, over a pipe: how the launcher and its children talk. */

const MAX_LINE_BYTES = 1 << 20

/**
 * Feeds chunks of UTF-8 in; gives each whole line out. A line above 1 MiB is given in pieces of that size, so that
 * output without line ends cannot grow the buffer.
 */
export class LineSplitter {
  #rest = ''
  readonly #decoder = new TextDecoder()
  readonly #onLine: (line: string) => void

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  push(chunk: Uint8Array): void {
    this.#rest += this.#decoder.decode(chunk, { stream: true })
    let start = 0
    for (let end = this.#rest.indexOf('\n'); end >= 0; end = this.#rest.indexOf('\n', start)) {
      this.#onLine(this.#rest.slice(start, end))
      start = end + 1
    }
    this.#rest = this.#rest.slice(start)
    if (this.#rest.length > MAX_LINE_BYTES) this.end()
  }

  /** What is left without a line end. */
  end(): void {
    if (this.#rest !== '') this.#onLine(this.#rest)
    this.#rest = ''
  }
}

/** undefined for a line that is no JSON object. */
export function parseLine(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
