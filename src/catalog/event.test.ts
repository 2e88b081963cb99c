import { afterEach, describe, expect, it } from 'vitest'
import { MAX_EVENTS } from '../model/event.ts'
import type { Command } from './catalog.ts'
import { type Harness, openHarness } from './testing/harness.ts'

let h: Harness
afterEach(() => h?.close())

const fire = (name: string, payload = ''): Command => ({
  kind: 'event-fire',
  event: {
    id: `${name}-${payload}`,
    name,
    payload: new TextEncoder().encode(payload),
    nodeFilter: '',
    serviceFilter: '',
    tagFilter: '',
    time: 0,
  },
})

describe('events', () => {
  it('are in one order, also when fired at the same time, and the last 256 stay', async () => {
    h = await openHarness({ remote: true })
    const { catalog } = h
    await Promise.all(Array.from({ length: MAX_EVENTS + 20 }, (_, i) => catalog.execute(fire('e', String(i)))))
    const times = catalog.view.events().map(({ time }) => time)
    expect(times).toEqual(Array.from({ length: MAX_EVENTS }, (_, i) => i + 22))
    expect((await h.reloaded()).events()).toEqual(catalog.view.events())
  })

  it('wake who waits for their name, and nobody else', async () => {
    h = await openHarness()
    const { view } = h.catalog
    const woken: string[] = []
    for (const name of ['a', 'b']) view.topic({ kind: 'events', name }).onceChanged(() => woken.push(name))
    view.topic({ kind: 'events' }).onceChanged(() => woken.push('any'))
    const { index } = await h.catalog.execute(fire('a', 'x'))
    expect(woken.sort()).toEqual(['a', 'any'])
    expect(view.topic({ kind: 'events', name: 'a' }).index).toBe(index)
    expect(view.topic({ kind: 'events', name: 'b' }).index).toBe(1)
  })

  it('are small', async () => {
    h = await openHarness()
    await expect(h.catalog.execute(fire('a', 'x'.repeat(512)))).rejects.toMatchObject({ code: 'too-large' })
    await expect(h.catalog.execute(fire(''))).rejects.toMatchObject({ code: 'invalid', field: 'Name' })
  })
})
