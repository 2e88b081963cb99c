import { describe, expect, test } from 'vitest'
import { Kept, KeptSets, keyOf } from './kept.ts'
import type { Plan } from './plan.ts'
import { type Query, readQuery } from './query.ts'
import { bareGroup, recordSet } from './record-set.ts'
import { addressRecord } from './records.ts'
import { queryFor } from './testing/queries.ts'

const plan = (records: number): Plan => ({
  prepare: () => [],
  compile: () =>
    recordSet({
      groups: Array.from({ length: records }, () => bareGroup(addressRecord(Uint8Array.from([10, 0, 0, 1]), 0))),
    }),
})

function ask(sets: KeptSets, name: string, records = 1): { readonly kept: Kept; readonly wasKept: boolean } {
  const data = queryFor(name)
  const query = readQuery(data) as Query
  const found = sets.find(data, query)
  if (found !== undefined) return { kept: found, wasKept: true }
  const kept = new Kept(keyOf(data, query), query.type, plan(records), 0)
  kept.now(0, () => 1)
  sets.keep(data, query, kept)
  return { kept, wasKept: false }
}

describe('kept record sets', () => {
  test('are found by name in any case, and by type', () => {
    const sets = new KeptSets()
    const { kept } = ask(sets, 'web.service.consul')
    expect(ask(sets, 'WEB.Service.Consul').kept).toBe(kept)
    const other = queryFor('web.service.consul', { type: 'SRV' })
    expect(sets.find(other, readQuery(other) as Query)).toBeUndefined()
    // The same bytes in other labels.
    expect(ask(sets, 'webservice.consul').wasKept).toBe(false)
  })

  test('what is asked often stays, however many other names are made up', () => {
    const sets = new KeptSets({ places: 64 })
    ask(sets, 'web.service.consul')
    let gone = 0
    for (let i = 0; i < 5_000; i++) {
      ask(sets, `made-up-${i}.service.consul`)
      if (i % 5 === 0 && !ask(sets, 'web.service.consul').wasKept) gone++
    }
    expect(gone).toBeLessThan(10)
    const left = Array.from({ length: 5_000 }, (_, i) => queryFor(`made-up-${i}.service.consul`)).filter(
      (data) => sets.find(data, readQuery(data) as Query) !== undefined,
    )
    expect(left.length).toBeLessThanOrEqual(64)
  })

  test('take no more than they may', () => {
    const sets = new KeptSets({ maxBytes: 100_000 })
    ask(sets, 'small.service.consul')
    for (let i = 0; i < 18; i++) ask(sets, `large-${i}.service.consul`, 100)
    expect(ask(sets, 'small.service.consul').wasKept).toBe(false)
    expect(ask(sets, 'large-17.service.consul').wasKept).toBe(true)
  })
})
