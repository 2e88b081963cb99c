import { expect, it } from 'vitest'
import type { ServiceRow } from '../model/entries.ts'
import { byLoad } from './rank.ts'

const instance = (id: string, load?: number) => ({
  service: { id, ...(load === undefined ? {} : { load }) } as ServiceRow,
})
const ids = (items: readonly { service: ServiceRow }[]) => items.map(({ service }) => service.id).join('')

it('puts the least busy first; equals keep their order, and who says nothing is in the middle', () => {
  expect(
    ids(byLoad([instance('a', 0.9), instance('b'), instance('c', 0.1), instance('d', 0.5), instance('e', 0.1)])),
  ).toBe('cebda')
})

it('gives back the very list where nobody says anything', () => {
  const all = [instance('a'), instance('b')]
  expect(byLoad(all)).toBe(all)
})
