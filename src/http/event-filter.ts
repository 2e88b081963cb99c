/** Whether an event is for a node: its filters are regular expressions of clients, so the engine is one of linear time. */
import { isAtollError } from '../model/errors.ts'
import type { EventEntry } from '../model/event.ts'
import { loadRegexps } from '../resolver/regexps.ts'

export interface EventTarget {
  readonly node: string
  readonly services: readonly { readonly service: string; readonly tags: readonly string[] }[]
}

type Matcher = (text: string) => boolean

async function matcherOf(pattern: string): Promise<Matcher> {
  if (pattern === '') return () => true
  const compiled = (await loadRegexps())(pattern)
  return (text) => compiled.test(text)
}

/** What is wrong with an expression, in the words of Go's engine; undefined when it is good. */
export async function filterFault(pattern: string): Promise<string | undefined> {
  try {
    await matcherOf(pattern)
    return undefined
  } catch (error) {
    if (isAtollError(error) && error.code === 'invalid') return error.message
    throw error
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
