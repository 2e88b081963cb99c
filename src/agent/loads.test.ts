import { describe, expect, it } from 'vitest'
import { parseLoad } from '../model/load.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import { Loads } from './loads.ts'
import { service, startWorld, ttl } from './testing/harness.ts'

const KEEP = { replaceExistingChecks: false }

function setUp() {
  const clock = new VirtualClock()
  const shown: (readonly [number, number | undefined])[] = []
  const loads = new Loads({ clock, changed: (id) => shown.push([clock.nowMs() - startMs, loads.shown(id)]) })
  const startMs = clock.nowMs()
  return { clock, loads, shown }
}

describe('what the catalog shows of a load', () => {
  it('is the first report at once, a material change ten seconds later, a small one after a minute', async () => {
    const { clock, loads, shown } = setUp()
    loads.report('web', 0.2)
    await clock.advance(1_000)
    loads.report('WEB', 0.9)
    await clock.advance(10_000)
    loads.report('web', 0.87)
    await clock.advance(60_000)
    expect(shown).toEqual([
      [0, 0.2],
      [10_000, 0.9],
      [70_000, 0.87],
    ])
    loads.stop()
  })

  it('is never more than one write in ten seconds, and the last report in the end', async () => {
    const { clock, loads, shown } = setUp()
    for (let i = 0; i < 1_000; i++) {
      loads.report('web', (i % 10) / 10)
      await clock.advance(100)
    }
    loads.report('web', 0.333)
    await clock.advance(60_000)
    expect(shown.length).toBeLessThanOrEqual(12)
    expect(loads.shown('web')).toBe(0.33)
    loads.stop()
  })

  it('is not written when nothing changed, nor for what goes back in time', async () => {
    const { clock, loads, shown } = setUp()
    for (const load of [0.5, 0.504, 0.9, 0.5]) {
      loads.report('web', load)
      await clock.advance(2_000)
    }
    await clock.advance(100_000)
    expect(shown).toEqual([[0, 0.5]])
    loads.stop()
  })

  it('is forgotten when nobody confirms it', async () => {
    const { clock, loads, shown } = setUp()
    loads.report('web', 0.5)
    await clock.advance(299_000)
    loads.report('web', 0.5)
    await clock.advance(299_000)
    expect(loads.shown('web')).toBe(0.5)
    await clock.advance(2_000)
    expect(loads.shown('web')).toBeUndefined()
    expect(shown.at(-1)?.[1]).toBeUndefined()
    loads.stop()
  })
})

it('a load is a number from 0 to 1', () => {
  expect(['0', '1', '0.5', '.5', '1.0', ' 0.25 '].map(parseLoad)).toEqual([0, 1, 0.5, 0.5, 1, 0.25])
  expect(['', '-1', '1.1', 'x', '0x1', '1e-1', 'NaN', undefined].map(parseLoad)).toEqual(Array(8).fill(undefined))
})

it('reports reach the catalog by the API, a TTL update and the answer to a check, and go with the service', async () => {
  const world = await startWorld()
  const { agent, run, catalog, clock } = world
  const load = (id: string) => catalog.services.get(id)?.load
  await run(agent.registerService(service('web', { checks: [ttl('t')] }), KEEP))
  expect(load('web')).toBeUndefined()
  agent.reportLoad('web', 0.25)
  await clock.advance(100)
  expect([load('web'), agent.service('web')?.load]).toEqual([0.25, 0.25])
  await run(agent.updateTtl('t', 'passing', '', 0.75), 11_000)
  expect(load('web')).toBe(0.75)
  expect(() => agent.reportLoad('nope', 0.5)).toThrow(expect.objectContaining({ code: 'not-found' }))
  expect(() => agent.reportLoad('web', Number.NaN)).toThrow(expect.objectContaining({ code: 'invalid', field: 'Load' }))
  await run(agent.registerService(service('web', { port: 81 }), KEEP))
  expect(catalog.services.get('web')).toMatchObject({ port: 81, load: 0.75 })
  await run(agent.deregisterService('web'))
  await run(agent.registerService(service('web'), KEEP))
  expect(load('web')).toBeUndefined()
  await agent.stop()
})
