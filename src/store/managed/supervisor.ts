import type { Clock, Companion, Companions, Logger, Timer } from '../../runtime/ports.ts'

export interface SupervisorOptions {
  /** For each start anew. */
  readonly args: () => readonly string[]
  readonly companions: Companions
  readonly clock: Clock
  readonly logger: Logger
}

const FIRST_PAUSE_MS = 250
const MAX_PAUSE_MS = 10_000
/** Who ran so long starts with the first pause again. */
const STEADY_MS = 30_000

/** Keeps one member of etcd running: whenever it ends it is started again, after a pause that doubles. */
export class Supervisor {
  readonly #o: SupervisorOptions
  #running: Companion | undefined
  #pauseMs = FIRST_PAUSE_MS
  #timer: Timer | undefined
  #stopped = false
  #lastLine = ''

  constructor(options: SupervisorOptions) {
    this.#o = options
    this.#start()
  }

  /** What it last said that was worse than a warning; '' for nothing. */
  get lastError(): string {
    return this.#lastLine
  }

  #start(): void {
    const { companions, args, clock, logger } = this.#o
    const startedMs = clock.nowMs()
    const running = companions.start({ args: args(), onLine: (line) => this.#onLine(line) })
    this.#running = running
    void running.ended.then((how) => {
      this.#running = undefined
      if (this.#stopped) return
      if (clock.nowMs() - startedMs >= STEADY_MS) this.#pauseMs = FIRST_PAUSE_MS
      logger.error({ how, said: this.#lastLine, againInMs: this.#pauseMs }, 'the etcd of this server ended')
      this.#timer = clock.after(this.#pauseMs, () => this.#start())
      this.#pauseMs = Math.min(MAX_PAUSE_MS, this.#pauseMs * 2)
    })
  }

  #onLine(line: string): void {
    const { level, message, fields } = parsedLine(line)
    if (level === 'error') this.#lastLine = message
    // What etcd calls a warning is mostly a member that it cannot reach, told over and over.
    this.#o.logger[level === 'error' ? 'warn' : 'debug'](fields, `etcd: ${message}`)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#running?.stop()
  }
}

interface LogLine {
  readonly level: 'debug' | 'error'
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

const SEVERE = new Set(['error', 'dpanic', 'panic', 'fatal'])

/** A line of etcd's log in JSON, or of what else is said there: by its gRPC as it ends, by the shell, all of no use to an operator. */
export function parsedLine(line: string): LogLine {
  try {
    const { level, msg, ts: _, caller: __, stacktrace: ___, ...fields } = Object(JSON.parse(line))
    const error = typeof fields.error === 'string' ? `: ${fields.error}` : ''
    return { level: SEVERE.has(level) ? 'error' : 'debug', message: `${msg}${error}`, fields }
  } catch {
    return { level: 'debug', message: line, fields: {} }
  }
}
