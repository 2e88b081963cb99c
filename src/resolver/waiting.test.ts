import { describe, expect, it } from 'vitest'
import { everything, ids, plain, settled, setUp, web } from './testing/door.ts'
import { instance } from './testing/fakes.ts'

describe('blocking', () => {
  it('waits for the service and not for others', async () => {
    const { mesh, own } = setUp()
    own.set('web', [instance('web', 'a')])
    const first = await mesh.ask(web, plain)
    const waiting = mesh.ask(web, { ...plain, index: first.index, waitMs: 10_000 })
    own.set('other', [instance('other', 'x')])
    expect(await settled(waiting)).toBe(false)
    own.set('web', [instance('web', 'b')])
    expect(ids(await waiting)).toEqual(['b'])
    expect(own.waiting({ kind: 'service', service: 'web' })).toBe(0)
    mesh.close()
  })

  it('times out with the same index, and frees its waiter when the caller goes', async () => {
    const { mesh, own, clock } = setUp()
    own.set('web', [instance('web', 'a')])
    const first = await mesh.ask(web, plain)
    const waiting = mesh.ask(web, { ...plain, index: first.index, waitMs: 1000 })
    await settled(waiting)
    await clock.advance(1100)
    expect((await waiting).index).toBe(first.index)
    const controller = new AbortController()
    const gone = mesh.ask(web, { ...plain, index: first.index, waitMs: 1000, signal: controller.signal })
    await settled(gone)
    controller.abort()
    await gone
    expect(own.waiting({ kind: 'service', service: 'web' })).toBe(0)
    mesh.close()
  })

  it('too high an index waits; one of another generation is answered at once', async () => {
    const { mesh, own, clock } = setUp()
    own.set('web', [instance('web', 'a')])
    const high = mesh.ask(web, { ...plain, index: 9999, waitMs: 1000 })
    expect(await settled(high)).toBe(false)
    await clock.advance(1100)
    expect((await high).index).toBe(11)
    expect(await settled(mesh.ask(web, { ...plain, index: 2 ** 41, waitMs: 1000 }))).toBe(true)
    mesh.close()
  })

  it('a number of a server that started anew meanwhile is not waited for as long as it is asked for', async () => {
    const { mesh, own, clock } = setUp()
    own.set('web', [instance('web', 'a')])
    const high = mesh.ask(web, { ...plain, index: 105, waitMs: 600_000 })
    const ofAll = mesh.ask(everything, { ...plain, index: 105, waitMs: 600_000 })
    await settled(high)
    await clock.advance(2_200)
    expect(ids(await high)).toEqual(['a'])
    // Where no other datacenter can answer, a number that is too high is only one that is not reached yet.
    expect(await settled(ofAll)).toBe(false)
    await clock.advance(700_000)
    await ofAll
    mesh.close()
  })

  it('wakes when another datacenter takes over, on a number that only rises, and when it is lost', async () => {
    const { mesh, own, usView, us, federation } = setUp()
    own.set('web', [instance('web', 'a')])
    usView.set('web', [instance('web', 'b')])
    const home = await mesh.ask(web, plain)
    const leaving = mesh.ask(web, { ...plain, index: home.index, waitMs: 10_000 })
    own.set('web', [instance('web', 'a', 'critical')])
    const away = await leaving
    expect(ids(away)).toEqual(['b'])
    expect(away.index).toBeGreaterThan(home.index)
    const lost = mesh.ask(web, { ...plain, index: away.index, waitMs: 10_000 })
    expect(await settled(lost)).toBe(false)
    us.fit = false
    us.state = 'lost'
    federation.changed()
    const back = await lost
    expect(ids(back)).toEqual([])
    expect(back.index).toBeGreaterThan(away.index)
    mesh.close()
  })
})
