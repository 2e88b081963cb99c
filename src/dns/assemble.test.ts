import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SeededRandom } from '../runtime/virtual.ts'
import { Assembler } from './assemble.ts'
import { QuickRandom } from './order.ts'
import { type Query, readQuery, TYPE } from './query.ts'
import { bareGroup, type Group, recordSet } from './record-set.ts'
import { addressRecord, nameRecord, SRV_TARGET_AT, srvRecord, textRecord } from './records.ts'
import { queryFor, readMessage } from './testing/queries.ts'

const assembler = new Assembler(new QuickRandom(new SeededRandom(7)))
const options = { maxBytes: 512, udpBytes: 4096, truncate: true, recursionAvailable: false }

const addresses = (n: number, weight: (i: number) => number = () => 1): Group[] =>
  Array.from({ length: n }, (_, i) => bareGroup(addressRecord(Uint8Array.from([10, 0, i >> 8, i & 255]), 5), weight(i)))

const services = (n: number, targetOf: (i: number) => string, texts: number): Group[] =>
  Array.from({ length: n }, (_, i) => ({
    rest: srvRecord({ priority: 1, weight: 1, port: i, target: targetOf(i) }, 0),
    targetAt: SRV_TARGET_AT,
    glue: [addressRecord(Uint8Array.from([10, 0, i >> 8, i & 255]), 0)],
    texts: Array.from({ length: texts }, (_, k) => textRecord(`key-${k}=value`, 0)),
    weight: 1,
  }))

function answer(groups: readonly Group[], more: Partial<typeof options> & { name?: string; udpBytes?: number } = {}) {
  const data = queryFor(more.name ?? 'Web.Service.Consul', {
    type: 'SRV',
    ...(more.udpBytes && { udpBytes: more.udpBytes }),
  })
  const bytes = assembler.answer(data, readQuery(data) as Query, recordSet({ groups }), undefined, {
    ...options,
    ...more,
  })
  return { bytes, ...readMessage(bytes) }
}

describe('an answer', () => {
  test('shows the question as it was asked, and owns its records by it', () => {
    const { answers, truncated } = answer(addresses(1))
    expect(answers).toEqual(['Web.Service.Consul 5 A 10.0.0.0'])
    expect(truncated).toBe(false)
  })

  test('leaves out texts first, then glue, and neither is worth TC', () => {
    const all = services(4, (i) => `node-${i}.node.dc1.consul`, 2)
    const sizes = [700, 400, 250].map((maxBytes) => answer(all, { maxBytes }))
    expect(sizes.map(({ answers }) => answers.length)).toEqual([4, 4, 4])
    expect(sizes.map(({ truncated }) => truncated)).toEqual([false, false, false])
    const told = sizes.map(({ additional }) => additional.filter((each) => each.includes(' A ')).length)
    expect(told).toEqual([4, 4, expect.any(Number)])
    expect(sizes[0]!.additional.length).toBeGreaterThan(sizes[1]!.additional.length)
    expect(sizes[2]!.additional.length).toBeLessThan(4)
  })

  test('that was cut holds a part that can be used: each with its address', () => {
    const { answers, additional, truncated } = answer(services(40, (i) => `node-${i}.node.dc1.consul`, 1))
    expect(truncated).toBe(true)
    expect(answers.length).toBeGreaterThan(5)
    for (const record of answers) {
      const target = record.split(' ').at(-1)
      expect(additional.some((each) => each.startsWith(`${target} `) && each.includes(' A '))).toBe(true)
    }
  })

  test('a limit cuts without TC', () => {
    const data = queryFor('web.service.consul')
    const set = recordSet({ groups: addresses(20), limit: 3 })
    const read = readMessage(assembler.answer(data, readQuery(data) as Query, set, undefined, options))
    expect(read.answers).toHaveLength(3)
    expect(read.truncated).toBe(false)
  })

  test('follows a name to what it has', () => {
    const data = queryFor('web.service.consul')
    const alias = { rest: nameRecord('CNAME', 'n-1.node.consul', 0) }
    const set = recordSet({ groups: addresses(2) })
    const read = readMessage(assembler.answer(data, readQuery(data) as Query, set, alias, options))
    expect([...read.answers].sort()).toEqual([
      'n-1.node.consul 5 A 10.0.0.0',
      'n-1.node.consul 5 A 10.0.0.1',
      'web.service.consul 0 CNAME n-1.node.consul',
    ])
  })

  test('of thousands by TCP points no further than it can', () => {
    const read = answer(
      services(900, (i) => `node-${i}.node.dc1.consul`, 0),
      { maxBytes: 65_535 },
    )
    expect(read.answers).toHaveLength(900)
    const owners = new Set(read.additional.map((each) => each.split(' ')[0]))
    expect(owners.size).toBe(read.additional.length)
    expect(read.additional.length).toBeGreaterThan(300)
    expect([...owners].every((owner) => /^node-\d+\.node\.dc1\.consul$/.test(owner!))).toBe(true)
  })
})

describe('truncation', () => {
  const label = fc.string({ unit: fc.constantFrom('a', 'b', '-', '7'), minLength: 1, maxLength: 63 })
  const target = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'))

  test('what is sent parses, fits, and is never empty without reason', () => {
    const cases = fc.record({
      targets: fc.array(target, { maxLength: 60 }),
      texts: fc.nat(3),
      maxBytes: fc.constantFrom(512, 1232, 4096, 65_535),
      name: target,
      edns: fc.boolean(),
    })
    fc.assert(
      fc.property(cases, ({ targets, texts, maxBytes, name, edns }) => {
        const groups = services(targets.length, (i) => targets[i]!, texts)
        const read = answer(groups, { name, maxBytes, ...(edns && { udpBytes: maxBytes }) })
        expect(read.bytes.length).toBeLessThanOrEqual(maxBytes)
        expect(read.truncated).toBe(read.answers.length < groups.length)
        expect(new Set(read.answers).size).toBe(read.answers.length)
        const room = maxBytes - (12 + name.length + 6) - (edns ? 11 : 0)
        if (groups.some((group) => group.rest.length + 2 <= room)) expect(read.answers.length).toBeGreaterThan(0)
      }),
      { numRuns: 300 },
    )
  })

  test('every instance turns up over time, by its weight', () => {
    const first = new Map<string, number>()
    const seen = new Map<string, number>()
    const rounds = 4_000
    const groups = addresses(60, (i) => (i < 30 ? 1 : 3))
    for (let i = 0; i < rounds; i++) {
      const { answers } = answer(groups)
      for (const record of answers) seen.set(record, (seen.get(record) ?? 0) + 1)
      first.set(answers[0]!, (first.get(answers[0]!) ?? 0) + 1)
    }
    expect(seen.size).toBe(60)
    const heavy = [...first].filter(([record]) => Number(record.split('.').at(-1)) >= 30)
    const share = heavy.reduce((sum, [, count]) => sum + count, 0) / rounds
    expect(share).toBeGreaterThan(0.7)
    expect(share).toBeLessThan(0.8)
  })

  test('without weights all are alike', () => {
    const seen = new Map<string, number>()
    const groups = addresses(60)
    for (let i = 0; i < 3_000; i++)
      for (const record of answer(groups).answers) seen.set(record, (seen.get(record) ?? 0) + 1)
    const counts = [...seen.values()]
    expect(counts).toHaveLength(60)
    expect(Math.min(...counts) / Math.max(...counts)).toBeGreaterThan(0.85)
  })
})

test('a bare answer repeats the question and tells EDNS errors', () => {
  const data = queryFor('a.consul', { udpBytes: 512, ednsVersion: 1 })
  const bytes = assembler.bare(data, readQuery(data) as Query, 16, { recursionAvailable: true, udpBytes: 1232 })
  expect(readMessage(bytes)).toMatchObject({ rcode: 0, edns: true, recursionAvailable: true, authoritative: false })
  expect(bytes.at(-6)).toBe(1)
  expect(TYPE.OPT).toBe(41)
})
