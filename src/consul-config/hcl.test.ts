import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AtollError } from '../model/errors.ts'
import { parseHcl } from './hcl.ts'
import { translate } from './translate.ts'

describe('HCL', () => {
  it.each<[string, unknown]>([
    ['', {}],
    ['# a\n// b\n/* c\n d */', {}],
    ['a = 1\nb = "x"\nc = true\nd = false', { a: 1, b: 'x', c: true, d: false }],
    ['a=1,b=2 c=-3', { a: 1, b: 2, c: -3 }],
    ['a = 1.5 b = 0x1f c = 1e3 d = -0.25', { a: 1.5, b: 31, c: 1000, d: -0.25 }],
    ['"quoted key" = 1', { 'quoted key': 1 }],
    ['node-name.x_1: "colon"', { 'node-name.x_1': 'colon' }],
    ['a = ["x", 1, true, ["y"],]', { a: ['x', 1, true, ['y']] }],
    ['a = [ # one\n "x", // two\n]', { a: ['x'] }],
    ['a = [{ b = 1 }, { b = 2 }]', { a: [{ b: 1 }, { b: 2 }] }],
    ['ports { http = 8500 }', { ports: [{ http: 8500 }] }],
    ['ports = { http = 8500 }', { ports: [{ http: 8500 }] }],
    ['check { id = "a" }\ncheck { id = "b" }', { check: [{ id: 'a' }, { id: 'b' }] }],
    ['service "web" { port = 80 }', { service: [{ web: [{ port: 80 }] }] }],
    ['a "b" "c" { d = 1 }', { a: [{ b: [{ c: [{ d: 1 }] }] }] }],
    ['a = 1\na = 2', { a: 2 }],
    ['a = "\\"\\\\ \\n\\t\\u00e9\\x41\\101\\U0001F600"', { a: '"\\ \n\té' + 'AA😀' }],
    [`a = "\${env("X")} {{ GetPrivateIP }}"`, { a: `\${env("X")} {{ GetPrivateIP }}` }],
    ['a = <<EOF\none\n  two\nEOF\nb = 1', { a: 'one\n  two\n', b: 1 }],
    ['a = <<-EOF\n    one\n      two\n\n    EOF\n', { a: 'one\n  two\n\n' }],
    ['\ufeffa = 1\r\nb = 2\r\n', { a: 1, b: 2 }],
    ['__proto__ = 1', Object.fromEntries([['__proto__', 1]])],
  ])('%j', (text, expected) => {
    expect(parseHcl(text)).toEqual(expected)
  })

  it.each([
    ['server = tru', 'line 1, column 10: expected a value'],
    ['a = 1\nports {\n  http = 8500\n', 'line 2, column 7: expected a "}" that closes this'],
    ['a = 1\n}', 'line 2, column 1: expected a key; found "}"'],
    ['a = [1 2]', 'line 1, column 8: expected "," or "]" in a list; found 2'],
    ['a = "open\nb = 1', 'line 1, column 5: this text has no closing quote in its line'],
    ['a = "\\q"', 'line 1, column 6: no such escape'],
    ['a = <<EOF\nx', 'line 1, column 5: the text that begins here lacks a line that says EOF'],
    ['a', 'line 1, column 2: expected "=" or "{" after a key; found the end'],
    ['a "b" = 1', 'line 1, column 7: expected "{" after a key and its labels'],
    ['/* a', 'line 1, column 1: this comment is not closed'],
    ['a = $x', 'line 1, column 5: "$" means nothing here'],
    ['a = 12abc', 'line 1, column 5: "1" means nothing here'],
    [`a ${'{ b '.repeat(100)}`, 'at most 64 levels'],
    [`a = ${'['.repeat(100)}`, 'at most 64 levels'],
  ])('%j is refused, and where', (text, message) => {
    expect(() => parseHcl(text)).toThrow(AtollError)
    expect(() => parseHcl(text)).toThrow(message)
  })

  it('says the same as JSON does', () => {
    const key = fc.stringMatching(/^[a-z_][a-z0-9_-]{0,8}$/)
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.string({ unit: 'binary' }),
        fc.integer(),
        fc.boolean(),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(key, tie('value'), { maxKeys: 3 }),
      ),
    }))
    fc.assert(
      fc.property(fc.dictionary(key, value, { maxKeys: 5 }), (tree) => {
        expect(parseHcl(body(tree))).toEqual(asBlocks(tree))
      }),
      { numRuns: 50 },
    )
  })

  it('ends on any text, with a tree or an error of its own', () => {
    const pieces = fc.constantFrom(
      'a',
      '=',
      '{',
      '}',
      '[',
      ']',
      ',',
      '"',
      '\\',
      '\n',
      '<<E\n',
      'E',
      '${',
      '1',
      '-',
      '/*',
      '#',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(pieces).map((all) => all.join(' ')),
        ),
        (text) => {
          try {
            parseHcl(text)
          } catch (error) {
            expect(error).toBeInstanceOf(AtollError)
          }
        },
      ),
    )
  })

  it('gives a node what the same in JSON gives', () => {
    const hcl = parseHcl(`
      server = true
      ports { http = 18500, dns = 18600 }
      node_meta { rack = "r1" }
      retry_join = ["10.0.0.7"]
      telemetry { statsite_address = "x:1" }
      service {
        name = "web"
        port = 80
        tags = ["a"]
        meta { version = "2" }
        weights { passing = 5, warning = 1 }
        tagged_addresses { wan { address = "192.0.2.1", port = 81 } }
        check { http = "http://localhost/", interval = "10s", header { Host = ["x"] } }
        checks { ttl = "5s" }
      }`)
    const json = {
      server: true,
      ports: { http: 18500, dns: 18600 },
      node_meta: { rack: 'r1' },
      retry_join: ['10.0.0.7'],
      telemetry: { statsite_address: 'x:1' },
      service: {
        name: 'web',
        port: 80,
        tags: ['a'],
        meta: { version: '2' },
        weights: { passing: 5, warning: 1 },
        tagged_addresses: { wan: { address: '192.0.2.1', port: 81 } },
        check: { http: 'http://localhost/', interval: '10s', header: { Host: ['x'] } },
        checks: [{ ttl: '5s' }],
      },
    }
    const of = (value: unknown) => translate([{ name: 'x', value }], () => [])
    expect(of(hcl)).toEqual(of(json))
  })
})

/** As Consul's decoder has it: an object that is no list's is a list of one. */
function asBlocks(tree: object): object {
  return Object.fromEntries(
    Object.entries(tree).map(([key, value]) => [key, isObject(value) ? [asBlocks(value)] : asElement(value)]),
  )
}

const asElement = (value: unknown): unknown =>
  Array.isArray(value) ? value.map(asElement) : isObject(value) ? asBlocks(value) : value

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const body = (tree: object): string =>
  Object.entries(tree)
    .map(([key, value]) => `${key} ${isObject(value) ? '' : '= '}${written(value)}\n`)
    .join('')

function written(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(written).join(', ')}]`
  if (isObject(value)) return `{\n${body(value)}}`
  return typeof value === 'string' ? quoted(value) : String(value)
}

/** JSON's escapes are HCL's but for `\/`, which it never writes. */
const quoted = (text: string): string => JSON.stringify(text).replaceAll('${', '\\u0024{')
