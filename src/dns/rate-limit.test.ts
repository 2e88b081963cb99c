import { describe, expect, test } from 'vitest'
import { RateLimiter } from './rate-limit.ts'

const limiter = (more: object = {}) =>
  new RateLimiter({ responsesPerSecond: 10, exempt: ['10.0.0.0/8', 'fd00::/7'], ...more })
const many = (limit: RateLimiter, address: string, n: number, nowMs = 0) =>
  Array.from({ length: n }, () => limit.decide(address, nowMs))

describe('response rate limiting', () => {
  test('beyond the rate every second answer is a truncated one, and the others are dropped', () => {
    const decisions = many(limiter(), '192.0.2.7', 14)
    expect(decisions.slice(0, 10)).toEqual(Array(10).fill('send'))
    expect(decisions.slice(10)).toEqual(['truncate', 'drop', 'truncate', 'drop'])
  })

  test('a network shares its bucket, which fills again', () => {
    const limit = limiter()
    many(limit, '192.0.2.7', 10)
    expect(limit.decide('192.0.2.200', 0)).toBe('truncate')
    expect(limit.decide('192.0.3.200', 0)).toBe('send')
    expect(limit.decide('192.0.2.200', 100)).toBe('send')
    expect(limit.decide('192.0.2.200', 100)).not.toBe('send')
    many(limit, '2001:db8:0:1::1', 10)
    expect(limit.decide('2001:db8:0:1:2::1', 0)).not.toBe('send')
    expect(limit.decide('2001:db8:1:1::1', 0)).toBe('send')
  })

  test('exempt networks, also as IPv4 within IPv6, have no limit', () => {
    const limit = limiter()
    for (const address of ['10.1.2.3', '::ffff:10.1.2.3', 'fd12::1%eth0'])
      expect(many(limit, address, 50)).toEqual(Array(50).fill('send'))
    expect(many(limit, '::ffff:192.0.2.1', 11).at(-1)).toBe('truncate')
  })

  test('0 is no limit; what is no network is refused by name', () => {
    expect(many(limiter({ responsesPerSecond: 0 }), '192.0.2.1', 50).at(-1)).toBe('send')
    expect(() => limiter({ exempt: ['10.0.0.0'] })).toThrow('dns.rateLimit.exempt: "10.0.0.0" is no network')
    expect(() => limiter({ exempt: ['10.0.0.0/33'] })).toThrow('10.0.0.0/33')
  })

  test('remembers a bounded number of networks', () => {
    const limit = limiter({ maxNetworks: 2 })
    many(limit, '192.0.2.1', 11)
    many(limit, '192.0.3.1', 1)
    many(limit, '192.0.4.1', 1)
    expect(limit.decide('192.0.2.1', 0)).toBe('send')
  })
})
