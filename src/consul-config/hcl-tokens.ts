/** The words of HCL 1. */
import { AtollError } from '../model/errors.ts'

interface At {
  /** Both from 1. */
  readonly line: number
  readonly column: number
}

export type Token = At &
  (
    | { readonly kind: 'word' | 'text'; readonly value: string }
    | { readonly kind: 'number'; readonly value: number }
    | { readonly kind: '=' | ':' | ',' | '{' | '}' | '[' | ']' | 'end' }
  )

const BLANKS = /(?:\s|#[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\/)+/y
const WORD = /[\p{L}_][\p{L}\p{Nd}_.-]*/uy
const NUMBER = /-?(?:0[xX][\da-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\p{L}\p{Nd}_.])/uy
const HEREDOC = /<<(-?)([\p{L}\p{Nd}_]+)\r?\n/uy
const ESCAPE = /\\(?:([abfnrtv"\\])|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{3}))/y
const ESCAPED: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }

/** One token ahead. Every error is an AtollError 'invalid' that names line and column. */
export class Tokens {
  readonly #text: string
  #at = 0
  #line = 1
  #lineStart = 0
  #lineEnd: number
  #ahead: Token | undefined

  constructor(text: string) {
    this.#text = text.startsWith('\ufeff') ? text.slice(1) : text
    this.#lineEnd = this.#endOfLine(0)
  }

  peek(): Token {
    this.#ahead ??= this.#read()
    return this.#ahead
  }

  next(): Token {
    const token = this.peek()
    this.#ahead = token.kind === 'end' ? token : undefined
    return token
  }

  #read(): Token {
    this.#match(BLANKS)
    const at = this.#place()
    const char = this.#text[this.#at]
    if (char === undefined) return { kind: 'end', ...at }
    if (char === '"') return { kind: 'text', value: this.#quoted(), ...at }
    if ('=:,{}[]'.includes(char)) {
      this.#at++
      return { kind: char as '=', ...at }
    }
    const heredoc = this.#match(HEREDOC)
    if (heredoc) return { kind: 'text', value: this.#heredoc(heredoc[2]!, heredoc[1] === '-', at), ...at }
    const number = this.#match(NUMBER)
    if (number) return { kind: 'number', value: numberOf(number[0]), ...at }
    const word = this.#match(WORD)
    if (word) return { kind: 'word', value: word[0], ...at }
    if (this.#text.startsWith('/*', this.#at)) throw wrong(at, 'this comment is not closed by */')
    throw wrong(at, `${JSON.stringify(String.fromCodePoint(this.#text.codePointAt(this.#at)!))} means nothing here`)
  }

  /** In quotes; within `${ }` quotes and line ends do not end it. */
  #quoted(): string {
    const start = this.#place()
    let value = ''
    let depth = 0
    for (this.#at++; ; ) {
      const char = this.#text[this.#at]
      if (char === undefined) throw wrong(start, 'this text has no closing quote')
      if (char === '\n' && depth === 0) throw wrong(start, 'this text has no closing quote in its line')
      if (char === '"' && depth === 0) break
      if (char === '\\' && depth === 0) {
        value += this.#escaped()
        continue
      }
      if (depth === 0 ? this.#text.startsWith('${', this.#at) : char === '{') depth++
      else if (char === '}' && depth > 0) depth--
      const opens = depth === 1 && char === '$'
      value += opens ? '${' : char
      this.#skip(opens ? 2 : 1)
    }
    this.#at++
    return value
  }

  #escaped(): string {
    const at = this.#place()
    const [, letter, byte, short, long, octal] = this.#match(ESCAPE) ?? []
    if (letter !== undefined) return ESCAPED[letter] ?? letter
    const code = octal === undefined ? Number.parseInt(byte ?? short ?? long ?? '', 16) : Number.parseInt(octal, 8)
    if (Number.isNaN(code) || code > 0x10ffff) throw wrong(at, 'no such escape; a backslash is written \\\\')
    return String.fromCodePoint(code)
  }

  /** The lines before the one that holds the marker alone, line ends included; `<<-` takes away what all are indented by. */
  #heredoc(marker: string, indented: boolean, start: At): string {
    const lines: string[] = []
    while (this.#at < this.#text.length) {
      const line = this.#text.slice(this.#at, this.#endOfLine(this.#at))
      if (line.trim() === marker) {
        this.#skip(line.length)
        const common = indented ? Math.min(...lines.filter(Boolean).map((one) => one.search(/[^ \t]|$/))) : 0
        return lines.map((one) => `${one.slice(common)}\n`).join('')
      }
      lines.push(line.endsWith('\r') ? line.slice(0, -1) : line)
      this.#skip(line.length + 1)
    }
    throw wrong(start, `the text that begins here lacks a line that says ${marker}`)
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (found === null) return undefined
    this.#skip(found[0].length)
    return found
  }

  #skip(length: number): void {
    const end = Math.min(this.#at + length, this.#text.length)
    while (this.#lineEnd < end) {
      this.#line++
      this.#lineStart = this.#lineEnd + 1
      this.#lineEnd = this.#endOfLine(this.#lineStart)
    }
    this.#at = end
  }

  #endOfLine(from: number): number {
    const at = this.#text.indexOf('\n', from)
    return at === -1 ? this.#text.length : at
  }

  #place(): At {
    return { line: this.#line, column: this.#at - this.#lineStart + 1 }
  }
}

function numberOf(text: string): number {
  return text.startsWith('-') ? -Number(text.slice(1)) : Number(text)
}

const wrong = ({ line, column }: At, what: string): AtollError =>
  new AtollError('invalid', `line ${line}, column ${column}: ${what}`)
