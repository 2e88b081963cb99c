/**
 * HCL 1, the language of Consul's files that end in .hcl, as the tree that its JSON twin would be: blocks become lists of maps,
 * as Consul's own decoder makes them. Values are literals; `${...}` stays text, since an agent's file interpolates nothing.
 * Source: the grammar in the README of hashicorp/hcl, version 1.
 */
import { AtollError } from '../model/errors.ts'
import { type Token, Tokens } from './hcl-tokens.ts'

/** Deeper than any configuration; parsing is recursive. */
const MAX_DEPTH = 64

/** Throws AtollError 'invalid' that names line and column, and what was expected there. */
export function parseHcl(text: string): Record<string, unknown> {
  const tokens = new Tokens(text)
  const tree = parseItems(tokens, 'end', 0)
  tokens.next()
  return tree
}

/** `key = value`, `key { ... }` and `key "label" { ... }` up to the closing token, which is left. A comma may follow each. */
function parseItems(tokens: Tokens, closing: '}' | 'end', depth: number): Record<string, unknown> {
  if (depth > MAX_DEPTH) throw wrongAt(tokens.peek(), `at most ${MAX_DEPTH} levels`)
  const tree = new Map<string, unknown>()
  while (tokens.peek().kind !== closing && !(depth > 0 && tokens.peek().kind === 'end')) {
    parseItem(tokens, tree, depth)
    if (tokens.peek().kind === ',') tokens.next()
  }
  return Object.fromEntries(tree)
}

function parseItem(tokens: Tokens, tree: Map<string, unknown>, depth: number): void {
  const keys = [keyOf(tokens.next())]
  while (tokens.peek().kind === 'word' || tokens.peek().kind === 'text') keys.push(keyOf(tokens.next()))
  const last = tokens.peek()
  if (last.kind === '=' || last.kind === ':') {
    if (keys.length > 1) throw wrongAt(last, '"{" after a key and its labels')
    tokens.next()
    if (tokens.peek().kind !== '{') return void tree.set(keys[0]!, parseValue(tokens, depth))
  } else if (last.kind !== '{') throw wrongAt(last, '"=" or "{" after a key')
  addBlock(tree, keys, parseObject(tokens, depth))
}

/** Blocks of one name add up, in order. */
function addBlock(tree: Map<string, unknown>, keys: readonly string[], object: unknown): void {
  const [key, ...labels] = keys
  const labelled = labels.reduceRight<unknown>((inner, label) => Object.fromEntries([[label, [inner]]]), object)
  const before = tree.get(key!)
  if (Array.isArray(before)) before.push(labelled)
  else tree.set(key!, [labelled])
}

function parseObject(tokens: Tokens, depth: number): Record<string, unknown> {
  const opening = tokens.next()
  const tree = parseItems(tokens, '}', depth + 1)
  if (tokens.next().kind !== '}') throw wrongAt(opening, 'a "}" that closes this')
  return tree
}

function parseValue(tokens: Tokens, depth: number): unknown {
  const token = tokens.peek()
  if (token.kind === '[') return parseList(tokens, depth + 1)
  if (token.kind === '{') return parseObject(tokens, depth)
  tokens.next()
  if (token.kind === 'text' || token.kind === 'number') return token.value
  if (token.kind === 'word' && (token.value === 'true' || token.value === 'false')) return token.value === 'true'
  throw wrongAt(token, 'a value: a text in quotes, a number, true, false, [ or {')
}

function parseList(tokens: Tokens, depth: number): unknown[] {
  if (depth > MAX_DEPTH) throw wrongAt(tokens.peek(), `at most ${MAX_DEPTH} levels`)
  tokens.next()
  const list: unknown[] = []
  while (tokens.peek().kind !== ']') {
    list.push(parseValue(tokens, depth))
    if (tokens.peek().kind === ',') tokens.next()
    else if (tokens.peek().kind !== ']') throw wrongAt(tokens.peek(), '"," or "]" in a list')
  }
  tokens.next()
  return list
}

function keyOf(token: Token): string {
  if (token.kind === 'word' || token.kind === 'text') return token.value
  throw wrongAt(token, 'a key')
}

function wrongAt(token: Token, expected: string): AtollError {
  const found = token.kind === 'end' ? 'the end' : JSON.stringify('value' in token ? token.value : token.kind)
  return new AtollError('invalid', `line ${token.line}, column ${token.column}: expected ${expected}; found ${found}`)
}
