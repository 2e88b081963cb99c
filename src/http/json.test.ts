import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeJson, GoMap, goMap, goValue, quote } from './json.ts'

describe('JSON as Go writes it', () => {
  test.each([
    ['plain', '"plain"'],
    ['<a&b>', '"\\u003ca\\u0026b\\u003e"'],
    ['\u2028\u2029', '"\\u2028\\u2029"'],
    ['\b\f\n\r\t\u0001"\\', '"\\u0008\\u000c\\n\\r\\t\\u0001\\"\\\\"'],
    ['\\b <', '"\\\\b \\u003c"'],
    ['lone \ud800 end', '"lone \\ufffd end"'],
    ['ü☃😀\u007f', '"ü☃😀\u007f"'],
  ])('%j', (text, expected) => {
    expect(quote(text)).toBe(expected)
  })

  test('maps are sorted by bytes, whatever their keys look like', () => {
    const map = goMap({ b: 1, '10': 2, '2': 3, a: 4 }, (n) => n)
    expect(encodeJson(map)).toBe('{"10":2,"2":3,"a":4,"b":1}')
    const odd = JSON.parse('{"__proto__":1,"z":2}') as Record<string, number>
    expect(encodeJson(goMap(odd, (n) => n))).toBe('{"__proto__":1,"z":2}')
  })

  test('numbers of 64 bits, floats, and what is left out', () => {
    expect(encodeJson({ a: 18446744073709551615n, b: 0.00001, c: undefined, d: null })).toBe(
      '{"a":18446744073709551615,"b":0.00001,"d":null}',
    )
  })

  test('indented by four spaces, empty things on one line, a newline at the end', () => {
    expect(encodeJson({ a: [], b: new GoMap([]), c: [1, { d: 'e' }] }, true)).toBe(
      '{\n    "a": [],\n    "b": {},\n    "c": [\n        1,\n        {\n            "d": "e"\n        }\n    ]\n}\n',
    )
  })

  test('means what it was made of', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const clean = JSON.parse(JSON.stringify(value)) as unknown
        expect(JSON.parse(encodeJson(goValue(clean)))).toEqual(clean)
        expect(JSON.parse(encodeJson(goValue(clean), true))).toEqual(clean)
      }),
    )
  })
})
