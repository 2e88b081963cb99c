/** The grammar of Consul's filter expressions (go-bexpr), as a syntax tree. Errors name line, column and offset as Consul does. */

export type Comparison = '<' | '<=' | '>' | '>='
export type Operator =
  | '=='
  | '!='
  | 'in'
  | 'not in'
  | 'is empty'
  | 'is not empty'
  | 'matches'
  | 'not matches'
  | Comparison

export type Expression =
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'not'; readonly inner: Expression }
  | {
      readonly kind: 'match'
      readonly selector: readonly string[]
      readonly operator: Operator
      readonly value: string
      /** Where in the text it begins. */
      readonly at: number
    }

export class FilterSyntaxError extends Error {
  override readonly name = 'FilterSyntaxError'
}

/** Nesting of parentheses and `not`; more is no expression that a person wrote. */
const MAX_DEPTH = 100

const IDENTIFIER = /[a-zA-Z][a-zA-Z0-9_]*/y
const SPACE = /[ \t\r\n]+/y
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?/y
const COMPARISON = /[<>]=?/y
const WORD_END = /(?![a-zA-Z0-9_])/y

/** `isOrdered`: whether the selector names a number that comparisons go with; Consul has none, so that elsewhere they are wrong. */
export function parseFilter(text: string, isOrdered: (selector: readonly string[]) => boolean): Expression {
  const parser = new Parser(text, isOrdered)
  return parser.all()
}

class Parser {
  readonly #text: string
  readonly #isOrdered: (selector: readonly string[]) => boolean
  #at = 0

  constructor(text: string, isOrdered: (selector: readonly string[]) => boolean) {
    this.#text = text
    this.#isOrdered = isOrdered
  }

  all(): Expression {
    this.#space()
    const expression = this.#or(0)
    this.#space()
    if (this.#at < this.#text.length) throw this.#noMatch('"and", "or", [ \\t\\r\\n] or EOF')
    return expression
  }

  #or(depth: number): Expression {
    const left = this.#and(depth)
    return this.#between('or') ? { kind: 'or', left, right: this.#or(depth + 1) } : left
  }

  #and(depth: number): Expression {
    const left = this.#not(depth)
    return this.#between('and') ? { kind: 'and', left, right: this.#and(depth + 1) } : left
  }

  #not(depth: number): Expression {
    if (depth > MAX_DEPTH) throw this.#error('the expression is nested too deeply')
    this.#space()
    const start = this.#at
    if (this.#take(IDENTIFIER) === 'not' && this.#space()) return { kind: 'not', inner: this.#not(depth + 1) }
    this.#at = start
    if (this.#text[this.#at] !== '(') return this.#match()
    this.#at++
    const inner = this.#or(depth + 1)
    this.#space()
    if (this.#text[this.#at] !== ')') throw this.#error('rule "grouping": Unmatched parentheses')
    this.#at++
    return inner
  }

  #match(): Expression {
    const start = this.#at
    const selector = this.#selector()
    if (selector) {
      const spaced = this.#space()
      const operator = this.#operator() ?? this.#comparison(selector)
      if (operator === 'is empty' || operator === 'is not empty')
        return { kind: 'match', selector, operator, value: '', at: start }
      if (operator) {
        this.#space()
        return { kind: 'match', selector, operator, value: this.#value(), at: start }
      }
      if (this.#membership() === undefined) {
        const words = '"!=", "==", "contains", "in", "is", "matches", "not" or [ \\t\\r\\n]'
        throw this.#noMatch(spaced ? words : '"!=", ".", "==", "[", [ \\t\\r\\n] or [a-zA-Z0-9_]')
      }
    }
    this.#at = start
    const value = this.#value()
    this.#space()
    const operator = this.#membership()
    if (!operator) throw this.#noMatch('"in", "not" or [ \\t\\r\\n]')
    this.#space()
    const container = this.#selector()
    if (!container) throw this.#error('rule "match": Invalid selector')
    return { kind: 'match', selector: container, operator, value, at: start }
  }

  /** Operators that follow a selector. */
  #operator(): Operator | undefined {
    const start = this.#at
    const two = this.#text.slice(this.#at, this.#at + 2)
    if (two === '==' || two === '!=') {
      this.#at += 2
      return two
    }
    const negated = this.#word('not')
    if (this.#word('contains')) return negated ? 'not in' : 'in'
    if (this.#word('matches')) return negated ? 'not matches' : 'matches'
    if (!negated && this.#word('is')) {
      const not = this.#word('not')
      if (this.#word('empty')) return not ? 'is not empty' : 'is empty'
    }
    this.#at = start
    return undefined
  }

  #comparison(selector: readonly string[]): Comparison | undefined {
    return this.#isOrdered(selector) ? (this.#take(COMPARISON) as Comparison | undefined) : undefined
  }

  /** `in` and `not in`, which follow a value. */
  #membership(): 'in' | 'not in' | undefined {
    const start = this.#at
    const negated = this.#word('not')
    if (this.#word('in')) return negated ? 'not in' : 'in'
    this.#at = start
    return undefined
  }

  #selector(): string[] | undefined {
    const first = this.#take(IDENTIFIER)
    if (first === undefined) return undefined
    const path = [first]
    for (;;) {
      const start = this.#at
      if (this.#text[this.#at] === '.') {
        this.#at++
        const part = this.#take(IDENTIFIER)
        if (part === undefined) throw this.#noMatch('[a-zA-Z]')
        path.push(part)
      } else if (this.#text[this.#at] === '[') {
        this.#at++
        this.#space()
        path.push(this.#string())
        this.#space()
        if (this.#text[this.#at] !== ']') throw this.#error('rule "index": Unclosed index expression')
        this.#at++
      } else {
        this.#at = start
        return path
      }
    }
  }

  #value(): string {
    const char = this.#text[this.#at]
    if (char === '"' || char === '`') return this.#string()
    const number = this.#take(NUMBER)
    if (number !== undefined) return number
    const selector = this.#selector()
    if (selector === undefined) throw this.#noMatch('"-", "0", "\\"", "`", [ \\t\\r\\n], [1-9] or [a-zA-Z]')
    return selector.join('.')
  }

  #string(): string {
    const mark = this.#text[this.#at]!
    if (mark !== '"' && mark !== '`') throw this.#noMatch('"\\"" or "`"')
    let end = this.#at + 1
    while (end < this.#text.length && this.#text[end] !== mark) end += mark === '"' && this.#text[end] === '\\' ? 2 : 1
    if (end >= this.#text.length) {
      this.#at = this.#text.length
      throw this.#error('rule "string": Unterminated string literal')
    }
    const raw = this.#text.slice(this.#at + 1, end)
    this.#at = end + 1
    if (mark === '`' || !raw.includes('\\')) return raw
    try {
      return JSON.parse(`"${raw}"`) as string
    } catch {
      throw this.#error('rule "string": invalid escape')
    }
  }

  #space(): boolean {
    return this.#take(SPACE) !== undefined
  }

  /** A keyword between two expressions: a space must follow, even before a parenthesis. */
  #between(word: string): boolean {
    if (!this.#word(word)) return false
    if (this.#space()) return true
    throw this.#noMatch('[ \\t\\r\\n]')
  }

  /** A keyword with the spaces before it; nothing is taken when it is another word. */
  #word(word: string): boolean {
    const start = this.#at
    this.#space()
    if (this.#text.startsWith(word, this.#at)) {
      this.#at += word.length
      if (this.#take(WORD_END) !== undefined) return true
    }
    this.#at = start
    return false
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (!match) return undefined
    this.#at += match[0].length
    return match[0]
  }

  #noMatch(expected: string): FilterSyntaxError {
    return this.#error(`no match found, expected: ${expected}`)
  }

  #error(text: string): FilterSyntaxError {
    return new FilterSyntaxError(`${placeOf(this.#text, this.#at)}: ${text}`)
  }
}

/** Line, column and offset, as Consul writes them. */
export function placeOf(text: string, at: number): string {
  const before = text.slice(0, at).split('\n')
  return `${before.length}:${before.at(-1)!.length + 1} (${at})`
}
