import { onTestFinished } from 'vitest'
import type { KeyValue, RevisionEvents, Store, StoreEvent, Watch, WatchHandler } from '../../src/store/store.ts'
import type { Opener, OpenStore } from './store.ts'

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const text = (value: Uint8Array): string => new TextDecoder().decode(value)

/** A store that is destroyed with the test. */
export async function opened(open: Opener): Promise<OpenStore> {
  const opened = await open()
  onTestFinished(() => opened.destroy())
  return opened
}

export const put = (store: Store, key: string, value: string): Promise<number> =>
  store.txn({ then: [{ put: key, value: bytes(value) }] }).then(({ revision }) => revision)

export const remove = (store: Store, key: string): Promise<number> =>
  store.txn({ then: [{ delete: key }] }).then(({ revision }) => revision)

export async function get(store: Store, key: string): Promise<KeyValue | undefined> {
  const { kvs } = await store.range(key, `${key}\0`)
  return kvs[0]
}

/** "key=value" of each. */
export const shown = (kvs: readonly KeyValue[]): string[] => kvs.map(({ key, value }) => `${key}=${text(value)}`)

/** "revision key=value" or "revision -key" of each event. */
export const shownEvents = (batch: readonly RevisionEvents[]): string[] =>
  batch.flatMap(({ revision, events }) => events.map((event) => `${revision} ${shownEvent(event)}`))

const shownEvent = (event: StoreEvent): string =>
  event.type === 'put' ? `${event.kv.key}=${text(event.kv.value)}` : `-${event.key}`

/** Keeps what a watch delivers, and lets a test wait for it. */
export class Recorder implements WatchHandler {
  readonly revisions: RevisionEvents[] = []
  compacted: number | undefined
  ended: { error: Error | undefined } | undefined
  readonly #waiting = new Set<() => void>()

  onRevisions(batch: readonly RevisionEvents[]): void {
    this.revisions.push(...batch)
    this.#check()
  }

  onCompacted(oldest: number): void {
    this.compacted = oldest
    this.#check()
  }

  onEnd(error?: Error): void {
    this.ended = { error }
    this.#check()
  }

  get events(): string[] {
    return shownEvents(this.revisions)
  }

  get last(): number {
    return this.revisions.at(-1)?.revision ?? 0
  }

  until(holds: (recorder: this) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!holds(this)) return
        this.#waiting.delete(check)
        resolve()
      }
      this.#waiting.add(check)
      check()
    })
  }

  reaches(revision: number): Promise<void> {
    return this.until(({ last }) => last >= revision)
  }

  #check(): void {
    for (const check of [...this.#waiting]) check()
  }
}

export function watch(store: Store, from: string, to: string, since: number): { recorder: Recorder; watch: Watch } {
  const recorder = new Recorder()
  return { recorder, watch: store.watch(from, to, since, recorder) }
}
