import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { aliased, decodeBody, duration } from './decode.ts'
import { parseFirstJson } from './go-json.ts'
import { catalogRegistrationSchema, serviceRegistrationSchema, txnSchema } from './schemas.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('the first JSON value, with the errors of Go', () => {
  test.each([
    ['', 'EOF'],
    ['  \n', 'EOF'],
    ['{', 'unexpected EOF'],
    ['[', 'unexpected EOF'],
    ['{nope', "invalid character 'n' looking for beginning of object key string"],
    [']', "invalid character ']' looking for beginning of value"],
    ['\ufeff{}', "invalid character 'ï' looking for beginning of value"],
    ['{"a" 1}', "invalid character '1' after object key"],
    ['{"a":1 "b"}', "invalid character '\"' after object key:value pair"],
    ['[1 2]', "invalid character '2' after array element"],
    ['"a\nb"', "invalid character '\\n' in string literal"],
    ['"\\x"', "invalid character 'x' in string escape code"],
    ['"\\u00g0"', "invalid character 'g' in \\u hexadecimal character escape"],
    ['trux', "invalid character 'x' in literal true (expecting 'e')"],
    ['-x', "invalid character 'x' in numeric literal"],
    ['1.x', "invalid character 'x' after decimal point in numeric literal"],
    ['1ex', "invalid character 'x' in exponent of numeric literal"],
    [`${'['.repeat(100_000)}`, 'exceeded max depth'],
  ])('%j', (text, message) => {
    expect(() => parseFirstJson(bytes(text))).toThrow(message)
  })

  test('what follows is ignored, the last of repeated keys wins, invalid UTF-8 is replaced', () => {
    expect(parseFirstJson(bytes('{"a":1,"a":2} trailing'))).toEqual(new Map([['a', 2]]))
    expect(parseFirstJson(bytes('[1,true,null,"x\\u00fc\\ud83d\\ude00"]{'))).toEqual([1, true, null, 'xü😀'])
    expect(parseFirstJson(Uint8Array.from([0x22, 0x74, 0xff, 0x22]))).toBe('t\ufffd')
  })
})

describe('a value into a schema', () => {
  const schema = z.object({
    Name: z.string().optional(),
    Port: z.int().optional(),
    Tags: z.array(z.string()).optional(),
    Meta: z.record(z.string(), z.string()).optional(),
    Wait: aliased(duration(), 'wait_time').optional(),
    Any: z.record(z.string(), z.unknown()).optional(),
  })
  const decode = (text: string): unknown => decodeBody(schema, bytes(text))

  test('keys in any case, aliases, null, durations as text and as nanoseconds', () => {
    expect(decode('{"nAmE":"a","port":1,"TAGS":null,"wait_time":"1m30s"}')).toEqual({
      Name: 'a',
      Port: 1,
      Wait: 90_000,
    })
    expect(decode('{"Wait":30000000000,"Tags":["a",null]}')).toEqual({ Wait: 30_000, Tags: ['a', ''] })
    expect(decode('null')).toEqual({})
  })

  test('names that objects have by themselves are only names', () => {
    const { Meta, Any } = decode('{"Meta":{"__proto__":"x"},"Any":{"a":{"constructor":1}}}') as Record<string, object>
    expect(Object.entries(Meta!)).toEqual([['__proto__', 'x']])
    expect(JSON.stringify(Any)).toBe('{"a":{"constructor":1}}')
  })

  test.each([
    ['{"Bogus":1}', 'Request decode failed: json: unknown field "Bogus"'],
    ['{"Port":"8080"}', 'Request decode failed: json: cannot unmarshal string into Go struct field .Port of type int'],
    [
      '{"Tags":"one"}',
      'Request decode failed: json: cannot unmarshal string into Go struct field .Tags of type []string',
    ],
    ['{"Wait":"abc"}', 'Request decode failed: time: invalid duration "abc"'],
    ['{"Port":1.5}', 'Request decode failed: json: cannot unmarshal number 1.5 into Go struct field .Port of type int'],
    [
      '{"Port":1e300}',
      'Request decode failed: json: cannot unmarshal number 1e+300 into Go struct field .Port of type int',
    ],
    ['{"Tags":-7}', 'Request decode failed: json: cannot unmarshal number into Go struct field .Tags of type []string'],
    ['{', 'Request decode failed: unexpected EOF'],
  ])('%s', (text, message) => {
    expect(() => decode(text)).toThrow(message)
  })

  test.each(['-1', '18446744073709551616', '1.5', '9'.repeat(1_000_000)])(
    'a number of 64 bits is one, and soon refused otherwise: %.30s',
    (number) => {
      const flags = (text: string) => decodeBody(txnSchema, bytes(`[{"KV":{"Flags":${text}}}]`))[0]!.KV!.Flags
      expect(() => flags(number)).toThrow(
        /cannot unmarshal number \S{1,30} into Go struct field .KV.Flags of type uint64/,
      )
      expect(flags('18446744073709551615')).toBe(2n ** 64n - 1n)
    },
  )

  test('the type that the whole should have had', () => {
    expect(() => decodeBody(catalogRegistrationSchema, bytes('[]'))).toThrow(
      'json: cannot unmarshal array into Go value of type structs.RegisterRequest',
    )
  })

  test('both spellings of a registration', () => {
    const snake = decodeBody(
      serviceRegistrationSchema,
      bytes(
        '{"id":"s","tagged_addresses":{"lan":{"address":"1.1.1.1","port":1}},"enable_tag_override":true,"check":{"ttl":"20s","deregister_critical_service_after":"90m"}}',
      ),
    )
    expect(snake).toEqual({
      ID: 's',
      TaggedAddresses: { lan: { Address: '1.1.1.1', Port: 1 } },
      EnableTagOverride: true,
      Check: { TTL: 20_000, DeregisterCriticalServiceAfter: 5_400_000 },
    })
  })
})
