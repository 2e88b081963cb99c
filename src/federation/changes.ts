/** Tells listeners when membership, reachability or a state changed, and keeps the list of DCs in order. */
import { messageOf } from '../model/errors.ts'
import type { Clock, Logger, Timer } from '../runtime/ports.ts'
import type { Remote } from './remotes.ts'

export class Changes {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #remotes: () => readonly Remote[]
  readonly #own: string
  readonly #listeners = new Set<() => void>()
  /** Of each DC that was ever live: the state that the log has of it. */
  readonly #told = new WeakMap<Remote, Remote['state']>()
  #datacenters: readonly string[]
  #signature = ''
  #timer: Timer | undefined
  #closed = false

  constructor(clock: Clock, logger: Logger, remotes: () => readonly Remote[], own: string) {
    this.#clock = clock
    this.#logger = logger
    this.#remotes = remotes
    this.#own = own
    this.#datacenters = [own]
  }

  /** Own first, the others by distance, then by name; worked out when something changed, and on every tick. */
  datacenters(): readonly string[] {
    return this.#datacenters
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Looks once this turn of the event loop is done: many causes, one look. */
  soon(): void {
    if (this.#closed) return
    this.#timer ??= this.#clock.after(0, () => {
      this.#timer = undefined
      this.check()
    })
  }

  check(): void {
    if (this.#closed) return
    const remotes = this.#remotes().map((remote) => ({ remote, ms: remote.roundTripMs() ?? Number.MAX_VALUE }))
    remotes.sort((a, b) => a.ms - b.ms || (a.remote.datacenter < b.remote.datacenter ? -1 : 1))
    const names = [this.#own, ...remotes.map(({ remote }) => remote.datacenter)]
    if (names.join() !== this.#datacenters.join()) this.#datacenters = names
    for (const { remote } of remotes) this.#tell(remote)
    const signature = remotes
      .map(({ remote }) => remote.signature())
      .sort()
      .join('\n')
    if (signature === this.#signature) return
    this.#signature = signature
    for (const listener of this.#listeners) {
      try {
        listener()
      } catch (error) {
        this.#logger.error({ error: messageOf(error) }, 'a listener of onChange failed')
      }
    }
  }

  #tell(remote: Remote): void {
    const { datacenter, state } = remote
    const told = this.#told.get(remote)
    if (told === state || (told === undefined && state === 'lost')) return
    this.#told.set(remote, state)
    const fields = { datacenter, state, was: told }
    if (state === 'quarantined') this.#logger.error(fields, 'a datacenter is quarantined: two stores claim it')
    else if (state === 'lost') this.#logger.warn(fields, 'a datacenter is lost: it gives no sign of life')
    else if (told !== undefined) this.#logger.info(fields, 'a datacenter is back')
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#listeners.clear()
  }
}
