import { keyPart } from '../../model/keys.ts'
import type { Topic, TopicRef } from '../view.ts'
import type { EventTable } from './event-table.ts'
import type { KvTable } from './kv-table.ts'
import type { QueryTable } from './query-table.ts'
import type { Registry } from './registry.ts'
import type { SessionTable } from './session-table.ts'
import {
  EVENTS_THING,
  eventsThing,
  kvThing,
  nodeSessionsThing,
  nodeThing,
  prefixThing,
  QUERIES_THING,
  queryThing,
  SESSIONS_THING,
  serviceThing,
  sessionThing,
  type Waiters,
} from './waiters.ts'

/** A live handle: it asks the tables each time, so that holding one costs nothing, also for what does not exist. */
class Handle implements Topic {
  readonly #version: () => number
  readonly #index: () => number
  readonly #thing: string
  readonly #waiters: Waiters

  constructor(thing: string, waiters: Waiters, version: () => number, index: () => number) {
    this.#thing = thing
    this.#waiters = waiters
    this.#version = version
    this.#index = index
  }

  get version(): number {
    return this.#version()
  }

  get index(): number {
    return Math.max(1, this.#index())
  }

  onceChanged(fn: () => void): () => void {
    return this.#waiters.wait(this.#thing, fn)
  }
}

/** The tables that things are looked up in. */
export interface TopicSources {
  readonly registry: Registry
  readonly kvTable: KvTable
  readonly sessionTable: SessionTable
  readonly eventTable: EventTable
  readonly queryTable: QueryTable
}

export function topicOf(
  ref: TopicRef,
  { registry, kvTable: kv, sessionTable: sessions, eventTable: events, queryTable: queries }: TopicSources,
  waiters: Waiters,
): Topic {
  switch (ref.kind) {
    case 'nodes':
    case 'services':
    case 'checks':
    case 'coordinates': {
      const whole = registry.whole(ref.kind)
      return new Handle(
        ref.kind,
        waiters,
        () => whole.version,
        () => whole.index,
      )
    }
    case 'node': {
      const part = keyPart(ref.node)
      return new Handle(
        nodeThing(part),
        waiters,
        () => registry.nodeVersion(part),
        () => registry.nodeIndex(part),
      )
    }
    case 'service': {
      const part = keyPart(ref.service)
      return new Handle(
        serviceThing(part),
        waiters,
        () => registry.serviceStates.get(part)?.version ?? 0,
        () => registry.serviceStates.get(part)?.index ?? 0,
      )
    }
    // Every change of a key or below a prefix raises its index, which thus is its version as well.
    case 'kv': {
      const index = unlessChanged(kv, () => kv.indexOf(ref.key))
      return new Handle(kvThing(ref.key), waiters, index, index)
    }
    // Likewise, once for each session.
    case 'session': {
      const index = (): number => sessions.indexOf(ref.session)
      return new Handle(sessionThing(ref.session), waiters, index, index)
    }
    case 'node-sessions': {
      const part = keyPart(ref.node)
      const index = (): number => sessions.indexOfNode(part)
      return new Handle(nodeSessionsThing(part), waiters, index, index)
    }
    case 'events': {
      const index = (): number => events.indexOf(ref.name)
      return new Handle(ref.name === undefined ? EVENTS_THING : eventsThing(ref.name), waiters, index, index)
    }
    case 'sessions': {
      const index = (): number => sessions.index
      return new Handle(SESSIONS_THING, waiters, index, index)
    }
    case 'queries': {
      const index = (): number => queries.index
      return new Handle(QUERIES_THING, waiters, index, index)
    }
    case 'query': {
      const index = (): number => queries.indexOf(ref.id)
      return new Handle(queryThing(ref.id), waiters, index, index)
    }
    case 'kv-prefix': {
      const index = unlessChanged(kv, () => kv.indexUnder(ref.prefix))
      return new Handle(prefixThing(ref.prefix), waiters, index, index)
    }
  }
}

/** Looked up again only after the table has changed: it is asked for with every request. */
function unlessChanged(table: { readonly changes: number }, lookUp: () => number): () => number {
  let at = -1
  let known = 0
  return () => {
    if (at !== table.changes) {
      at = table.changes
      known = lookUp()
    }
    return known
  }
}
