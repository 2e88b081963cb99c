/** Whether an event is for a node: its filters are regular expressions of clients, so the engine is one of linear time. */
import type { EventEntry } from '../model/event.ts'

export interface EventTarget {
  readonly node: string
  readonly services: readonly { readonly service: string; readonly tags: readonly string[] }[]
}

type Matcher = (text: string) => boolean

/** Loaded when the first filter comes: hardly any event has one. */
async function matcherOf(pattern: string): Promise<Matcher> {
  if (pattern === '') return () => true
  const { RE2JS } = await import('re2js')
  const compiled = RE2JS.compile(pattern)
  return (text) => compiled.test(text)
}

/** What is wrong with an expression, in the words of Go's engine; undefined when it is good. */
export async function filterFault(pattern: string): Promise<string | undefined> {
  try {
    await matcherOf(pattern)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : 'error parsing regexp'
  }
}

export async function isFor(event: EventEntry, { node, services }: EventTarget): Promise<boolean> {
  const { nodeFilter, serviceFilter, tagFilter } = event
  if (!(await matcherOf(nodeFilter))(node)) return false
  if (serviceFilter === '') return true
  const isService = await matcherOf(serviceFilter)
  const isTag = await matcherOf(tagFilter)
  return services.some(({ service, tags }) => isService(service) && (tagFilter === '' || tags.some(isTag)))
}
