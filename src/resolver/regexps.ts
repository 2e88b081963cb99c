/**
 * Regular expressions of clients, in an engine of linear time (RE2's): none of them can keep a node busy for longer than its
 * size and the text's allow, and both are bounded. The engine is loaded when the first one comes.
 */
import type { RE2JS } from 're2js'
import { AtollError } from '../model/errors.ts'

/** Characters of one expression. */
export const MAX_REGEXP_LENGTH = 512
/** Instructions of its program: repetitions of repetitions are long. */
export const MAX_REGEXP_PROGRAM = 2_000

export interface Regexp {
  /** Instructions of its program: a search costs at most these times the characters of the text. */
  readonly size: number
  /** Whether the text holds a match anywhere. */
  test(text: string): boolean
  /** The first match and its groups ('' for those without a part in it); undefined when there is none. */
  match(text: string): readonly string[] | undefined
}

/** Throws AtollError 'invalid' in the words of Go's engine. */
export type CompileRegexp = (pattern: string) => Regexp

let loaded: CompileRegexp | undefined
let loading: Promise<CompileRegexp> | undefined

/** undefined until it was loaded once. */
export const loadedRegexps = (): CompileRegexp | undefined => loaded

export function loadRegexps(): Promise<CompileRegexp> {
  loading ??= import('re2js').then(
    (engine) => {
      loaded = (pattern) => compile(engine.RE2JS, pattern)
      return loaded
    },
    (cause: unknown) => {
      loading = undefined
      throw new AtollError('internal', 'the engine of regular expressions cannot be loaded', { cause })
    },
  )
  return loading
}

function compile(engine: typeof RE2JS, pattern: string): Regexp {
  if (pattern.length > MAX_REGEXP_LENGTH) {
    throw invalid(`error parsing regexp: ${pattern.length} characters, at most ${MAX_REGEXP_LENGTH} are taken`)
  }
  let compiled: RE2JS
  try {
    compiled = engine.compile(pattern)
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : 'error parsing regexp')
  }
  const size = compiled.programSize()
  if (size > MAX_REGEXP_PROGRAM) {
    throw invalid(`error parsing regexp: expression too large: \`${pattern}\`; repeat less in it`)
  }
  return {
    size,
    test: (text) => compiled.test(text),
    match(text) {
      const matcher = compiled.matcher(text)
      if (!matcher.find()) return undefined
      return Array.from({ length: compiled.groupCount() + 1 }, (_, i) => matcher.group(i) ?? '')
    },
  }
}

const invalid = (message: string): AtollError => new AtollError('invalid', message, { field: 'Regexp' })
