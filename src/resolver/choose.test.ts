import { describe, expect, it } from 'vitest'
import type { Instance } from '../model/entries.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import { addressFromAfar, Chooser } from './choose.ts'
import { NEARER_SAMPLES, Routes } from './routes.ts'
import { FakeRemote, FakeView, instance } from './testing/fakes.ts'

function mesh(options: { failover?: boolean; flatNetwork?: boolean } = {}) {
  const clock = new VirtualClock()
  const own = new FakeView('eu-1')
  const views = new Map(['us-1', 'ap-1'].map((name) => [name, new FakeView(name)]))
  const us = new FakeRemote('us-1', 80)
  const ap = new FakeRemote('ap-1', 230)
  const routes = new Routes({ clock, remotes: () => [ap, us], view: (name) => views.get(name) })
  const chooser = new Chooser({
    own,
    routes,
    failover: options.failover ?? true,
    flatNetwork: options.flatNetwork ?? false,
  })
  const sample = async (times = NEARER_SAMPLES): Promise<void> => {
    for (let i = 0; i < times; i++) await clock.advance(1000)
  }
  return { own, us, ap, usView: views.get('us-1')!, apView: views.get('ap-1')!, routes, chooser, sample }
}
const to = (m: ReturnType<typeof mesh>, nearest = false, tags: string[] = []): string =>
  m.chooser.choose('web', tags, nearest).to?.datacenter ?? 'eu-1'

describe('which datacenter answers', () => {
  it('the own one while anything passes, and then on its own topic alone', () => {
    const m = mesh()
    m.own.set('web', [instance('web', 'a')])
    m.usView.set('web', [instance('web', 'b')])
    const choice = m.chooser.choose('web', [], false)
    expect(choice.to).toBeUndefined()
    expect(choice.routed).toBe(false)
    expect(choice.topics).toHaveLength(1)
    m.routes.close()
  })

  it('the nearest other one at once when none passes, also for a service never registered here', () => {
    const m = mesh()
    m.usView.set('web', [instance('web', 'b')])
    m.apView.set('web', [instance('web', 'c')])
    expect(to(m)).toBe('us-1')
    m.own.set('web', [instance('web', 'a', 'critical')])
    expect(to(m)).toBe('us-1')
    m.routes.close()
  })

  it('returns only when the record is gone', () => {
    const m = mesh()
    m.usView.set('web', [instance('web', 'b')])
    m.own.set('web', [instance('web', 'a')])
    m.own.setFailover('web', { service: 'web', since: 11 })
    expect(to(m)).toBe('us-1')
    m.own.setFailover('web', undefined)
    expect(to(m)).toBe('eu-1')
    m.routes.close()
  })

  it('stays at home when no other has it, even while held', () => {
    const m = mesh()
    m.own.set('web', [instance('web', 'a')])
    m.own.setFailover('web', { service: 'web', since: 11 })
    expect(to(m)).toBe('eu-1')
    m.routes.close()
  })

  it('passes over a datacenter where less than half is well, unless there is no other', () => {
    const m = mesh()
    m.usView.set('web', [instance('web', 'b'), instance('web', 'b2', 'critical'), instance('web', 'b3', 'critical')])
    m.apView.set('web', [instance('web', 'c')])
    expect(to(m)).toBe('ap-1')
    m.apView.set('web', [])
    expect(to(m)).toBe('us-1')
    m.routes.close()
  })

  it('prefers what can be reached, and never goes to what is lost', () => {
    const m = mesh()
    m.usView.set('web', [instance('web', 'b')])
    m.apView.set('web', [instance('web', 'c')])
    m.us.connected = false
    m.routes.refresh()
    expect(to(m)).toBe('ap-1')
    m.ap.fit = false
    m.routes.refresh()
    expect(to(m)).toBe('us-1')
    m.us.fit = false
    m.routes.refresh()
    expect(to(m)).toBe('eu-1')
    m.routes.close()
  })

  it('prefers what is reached directly to what calls reach through a third, and that to what nothing reaches', () => {
    const m = mesh()
    m.usView.set('web', [instance('web', 'b')])
    m.apView.set('web', [instance('web', 'c')])
    m.us.via = 'ap-1'
    m.routes.refresh()
    expect(to(m)).toBe('ap-1')
    m.ap.connected = false
    m.routes.refresh()
    expect(to(m)).toBe('us-1')
    m.ap.connected = true
    m.ap.via = 'us-1'
    m.routes.refresh()
    // Both alike: the nearer.
    expect(to(m)).toBe('us-1')
    m.routes.close()
  })

  it('needs a wan address, or a flat network', () => {
    for (const [flatNetwork, expected] of [
      [false, 'eu-1'],
      [true, 'us-1'],
    ] as const) {
      const m = mesh({ flatNetwork })
      m.usView.set('web', [instance('web', 'b', 'passing', { taggedAddresses: null })])
      expect(to(m)).toBe(expected)
      m.routes.close()
    }
  })

  it('is switched off by the mesh or the service, but not for a question that says nearest', () => {
    const off = mesh({ failover: false })
    off.usView.set('web', [instance('web', 'b')])
    expect(to(off)).toBe('eu-1')
    expect(to(off, true)).toBe('us-1')
    off.routes.close()
    const m = mesh()
    m.usView.set('web', [instance('web', 'b')])
    m.own.set('web', [instance('web', 'a', 'critical', { failover: false })])
    expect(to(m)).toBe('eu-1')
    m.routes.close()
  })

  it('judges after tags', () => {
    const m = mesh()
    m.own.set('web', [instance('web', 'a', 'passing', { tags: ['v1'] })])
    m.usView.set('web', [instance('web', 'b', 'passing', { tags: ['V2'] })])
    expect(to(m, false, ['v2'])).toBe('us-1')
    expect(to(m, false, ['v1'])).toBe('eu-1')
    m.routes.close()
  })

  it('moves between remote datacenters only when one is clearly nearer for three samples', async () => {
    const m = mesh()
    m.usView.set('web', [instance('web', 'b')])
    m.apView.set('web', [instance('web', 'c')])
    await m.sample()
    expect(to(m)).toBe('us-1')
    m.ap.distance = 70
    await m.sample(5)
    expect(to(m)).toBe('us-1')
    m.ap.distance = 60
    await m.sample(2)
    expect(to(m)).toBe('us-1')
    await m.sample(1)
    expect(to(m)).toBe('ap-1')
    m.routes.close()
  })

  it('remembers where each lookup went, whatever else is asked of the service and however it is spelled', () => {
    const m = mesh()
    m.usView.set('web', [instance('web', 'b', 'passing', { tags: ['v1'] })])
    m.apView.set('web', [instance('web', 'c', 'passing', { tags: ['v2'] })])
    expect(to(m)).toBe('us-1')
    expect(to(m, false, ['v2'])).toBe('ap-1')
    expect(to(m)).toBe('us-1')
    m.us.connected = false
    expect(to(m, false, ['V1', 'v1'])).toBe('us-1')
    m.routes.close()
  })

  it("does not take an agent's own address for one that others may use", () => {
    const afar = (node: Partial<Instance['node']>, flat = false) => {
      const found = instance('web', 'b', 'passing', { taggedAddresses: null, address: '' })
      const fields = { address: '10.0.0.1', ...node }
      return addressFromAfar({ ...found, node: { ...found.node, ...fields } }, flat)
    }
    expect(afar({ taggedAddresses: { wan: '10.0.0.1' } })).toBeUndefined()
    expect(afar({ taggedAddresses: { wan: '10.0.0.1' } }, true)).toEqual({ address: '10.0.0.1', port: 80 })
    expect(afar({ taggedAddresses: { wan: '198.51.100.7' } })).toEqual({ address: '198.51.100.7', port: 80 })
    const registered = { owner: 'catalog', address: '198.51.100.7', taggedAddresses: { wan: '198.51.100.7' } } as const
    expect(afar(registered)).toEqual({ address: '198.51.100.7', port: 80 })
  })
})
