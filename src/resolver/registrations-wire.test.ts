import { Packr } from 'msgpackr'
import { describe, expect, it, test } from 'vitest'
import type { Registration } from '../catalog/view.ts'
import { packRegistrations, unpackRegistrations } from './registrations-wire.ts'
import { instance, node } from './testing/fakes.ts'
import { answerOf } from './wire.ts'

const packr = new Packr({ useRecords: false })
const sent = (value: unknown): unknown => packr.unpack(packr.pack(value))
const on = (owner: Registration['node'], id: string, fields: object = {}): Registration => ({
  node: owner,
  service: { ...instance('web', id, 'passing', fields).service, node: owner.node },
})

describe('registrations from another node', () => {
  const [a, b] = [node('a', { meta: { rack: '1' } }), node('b', { locality: { region: 'r', zone: 'z' } })]

  it('are those that it has, in its order', () => {
    const list = [on(a, '1', { load: 0.5 }), on(a, '2'), on(b, '3', { tags: ['x'], failover: false })]
    const packed = sent(packRegistrations(list))
    expect(unpackRegistrations(packed)).toEqual(list)
    expect(unpackRegistrations(sent(packRegistrations([])))).toEqual([])
    const meta = { index: 5, datacenter: 'us-1', source: 'catalog', ageMs: 0, knownLeader: true, consistency: 'leader' }
    expect(answerOf('us-1', 'registrations', { ...meta, value: packed }).value).toEqual(list)
    expect(() => answerOf('us-1', 'registrations', { ...meta, value: list })).toThrow(
      'in words that this node does not know',
    )
  })

  it('take a third of what they would take row by row', () => {
    const list = Array.from({ length: 1_000 }, (_, i) => on(a, `web-${i}`))
    expect(packr.pack(packRegistrations(list)).length * 3).toBeLessThan(packr.pack(list).length)
  })

  const good = packRegistrations([on(a, '1')])
  test.each([
    undefined,
    7,
    {},
    { ...good, on: [1] },
    { ...good, on: [0, 0] },
    { ...good, on: undefined },
    { ...good, nodes: { fields: ['node'], rows: [[]] } },
    { ...good, nodes: { fields: [1], rows: [[1]] } },
    { ...good, services: { fields: Array.from({ length: 65 }, String), rows: [] } },
    { ...good, services: { fields: [], rows: 'x' } },
  ])('are none when they make no sense: %j', (packed) => {
    expect(unpackRegistrations(packed)).toBeUndefined()
  })
})
