interface Waiter {
  readonly fn: () => void
}

/**
 * Who waits for a change of what, by the name of the thing. Nothing is kept of a thing for which nobody waits. For KV
 * prefixes a change asks only for those prefixes of its key whose length somebody waits for.
 */
export class Waiters {
  readonly #byThing = new Map<string, Set<Waiter>>()
  /** Length of a prefix: number of prefixes of that length that are waited for. */
  readonly #prefixLengths = new Map<number, number>()
  #woken: Waiter[] = []
  readonly #onFailed: (error: unknown) => void

  constructor(onFailed: (error: unknown) => void = () => {}) {
    this.#onFailed = onFailed
  }

  /** Things that somebody waits for. */
  get size(): number {
    return this.#byThing.size
  }

  wait(thing: string, fn: () => void): () => void {
    const waiter: Waiter = { fn }
    let waiting = this.#byThing.get(thing)
    if (!waiting) {
      waiting = new Set()
      this.#byThing.set(thing, waiting)
      if (isPrefix(thing)) this.#count(thing, 1)
    }
    waiting.add(waiter)
    return () => {
      const current = this.#byThing.get(thing)
      if (!current?.delete(waiter) || current.size > 0) return
      this.#forget(thing)
    }
  }

  /** Those who wait for the thing are called by the next `fire`. */
  wake(thing: string): void {
    const waiting = this.#byThing.get(thing)
    if (!waiting) return
    for (const waiter of waiting) this.#woken.push(waiter)
    this.#forget(thing)
  }

  wakeAll(): void {
    for (const thing of [...this.#byThing.keys()]) this.wake(thing)
  }

  wakePrefixesOf(key: string): void {
    for (const length of [...this.#prefixLengths.keys()]) {
      if (length <= key.length) this.wake(prefixThing(key.slice(0, length)))
    }
  }

  /** Calls them, each once; a throw of one keeps no other from being called. */
  fire(): void {
    if (this.#woken.length === 0) return
    const woken = this.#woken
    this.#woken = []
    for (const { fn } of woken) {
      try {
        fn()
      } catch (error) {
        this.#onFailed(error)
      }
    }
  }

  #forget(thing: string): void {
    this.#byThing.delete(thing)
    if (isPrefix(thing)) this.#count(thing, -1)
  }

  #count(thing: string, change: number): void {
    const length = thing.length - 2
    const count = (this.#prefixLengths.get(length) ?? 0) + change
    if (count === 0) this.#prefixLengths.delete(length)
    else this.#prefixLengths.set(length, count)
  }
}

const isPrefix = (thing: string): boolean => thing.startsWith('p/')

export const nodeThing = (part: string): string => `n/${part}`
export const serviceThing = (part: string): string => `s/${part}`
export const kvThing = (key: string): string => `k/${key}`
export const sessionThing = (id: string): string => `u/${id}`
export const nodeSessionsThing = (part: string): string => `v/${part}`
export const SESSIONS_THING = 'sessions'
export const EVENTS_THING = 'events'
export const eventsThing = (name: string): string => `w/${name}`
export const QUERIES_THING = 'queries'
export const queryThing = (id: string): string => `y/${id}`
export const prefixThing = (prefix: string): string => `p/${prefix}`
