import { describe, expect, test } from 'vitest'
import { appOverFakeMesh } from '../testing/app-over-fake-mesh.ts'
import { nodeRow, serviceRow } from '../testing/fake-mesh.ts'

const http = appOverFakeMesh()
const filtered = (filter: string, more = '') =>
  http.textOf(`/v1/catalog/services?filter=${encodeURIComponent(filter)}${more}`)

const registrations = () => [
  {
    node: nodeRow('a', { meta: { rack: '1' } }),
    service: serviceRow('a', 'web', { tags: ['v1'], meta: { team: 'x' } }),
  },
  { node: nodeRow('b', { meta: { rack: '2' } }), service: serviceRow('b', 'web', { tags: ['v2', 'v3'] }) },
  { node: nodeRow('b', { meta: { rack: '2' } }), service: serviceRow('b', 'Db', { port: 5432 }) },
  { node: nodeRow('b', { meta: { rack: '2' } }), service: serviceRow('b', '__proto__') },
]

describe('catalog/services with a filter', () => {
  test.each([
    ['ServiceName == web', '{"web":["v1","v2","v3"]}'],
    ['NodeMeta.rack == "2"', '{"Db":[],"__proto__":[],"web":["v2","v3"]}'],
    ['ServiceMeta.team == x and "v1" in ServiceTags', '{"web":["v1"]}'],
    ['ServicePort == 5432', '{"Db":[]}'],
    ['Node matches "^[ab]$" and not ServiceTags is empty', '{"web":["v1","v2","v3"]}'],
    ['Datacenter == elsewhere', '{}'],
  ])('%s has the services with such an instance, and the tags of those', async (filter, body) => {
    http.mesh.answers.registrations = registrations()
    expect(await filtered(filter)).toEqual([200, body])
  })

  test('is asked for in the datacenter, with node-meta and an index; without a filter nothing is looked at', async () => {
    http.mesh.answers.registrations = []
    http.mesh.answers.services = [{ service: 'web', tags: [] }]
    await filtered('ServiceName == web', '&dc=us-1&node-meta=rack:1')
    expect(http.mesh.asked.at(-1)).toMatchObject({
      question: { kind: 'registrations', nodeMeta: { rack: '1' } },
      options: { datacenter: 'us-1' },
    })
    expect(await filtered('')).toEqual([200, '{"web":[]}'])
    const response = await http.call('/v1/catalog/services?filter=ServiceName==web')
    expect(response.headers.get('x-consul-index')).toBe('7')
  })

  test('what is wrong with it is a 400', async () => {
    expect(await filtered('Service.Name == web')).toEqual([
      400,
      'Failed to create boolean expression evaluator: Selector "Service" is not valid, at 1:1 (0)',
    ])
  })

  test('one expression is worked out once for all who ask, for as long as nothing changes', async () => {
    let looked = 0
    const row = serviceRow('a', 'web')
    const counted = {
      node: nodeRow('a'),
      service: {
        ...row,
        get id() {
          looked++
          return row.id
        },
      },
    }
    http.mesh.answers.registrations = [counted]
    const before = looked
    for (const more of ['', '&wait=1s', '&index=1'])
      expect(await filtered('ServiceName == web', more)).toEqual([200, '{"web":[]}'])
    const once = looked - before
    http.mesh.answers.registrations = [counted]
    await filtered('ServiceName == web', '&wait=2s')
    expect(looked - before).toBe(2 * once)
    expect(once).toBeGreaterThan(0)
  })
})
