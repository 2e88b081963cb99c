import { afterEach, describe, expect, it } from 'vitest'
import type { Clock, Logger } from '../runtime/ports.ts'
import { holds } from './testing/compare.ts'
import { MemoryMesh, type MemoryNode } from './testing/memory-mesh.ts'
import { MemorySource } from './testing/memory-source.ts'

let mesh: MemoryMesh
afterEach(() => mesh.close())

const remote = (node: MemoryNode, datacenter: string) => node.federation.remote(datacenter)!
const problems = (node: MemoryNode): string[] =>
  node.federation.problems.list().map(({ kind, datacenter }) => `${kind} ${datacenter}`)

async function two(): Promise<[MemoryNode, MemoryNode]> {
  const eu = await mesh.start('eu-1')
  const us = await mesh.start('us-1', { join: [eu] })
  for (let i = 0; i < 20; i++) eu.source.write({ [`s-${i % 5}`]: `${i}` })
  await mesh.until(() => holds(us, eu) && remote(us, 'eu-1').fit)
  return [eu, us]
}

/** As node.ts does it: the generation rises above what was seen. */
function raising(source: MemorySource) {
  const raised: number[] = []
  return {
    raised,
    onOwnDatacenterAhead: async ({ generation }: { generation: number }) => {
      raised.push(generation)
      source.epoch = { generation: generation + 1, random: `${generation + 1}`.padStart(16, 'f') }
      return undefined
    },
  }
}

describe('a gateway that restarts', () => {
  it('with its store goes on: by delta, in the same epoch', async () => {
    mesh = new MemoryMesh(1)
    const [eu, us] = await two()
    const { snapshots } = remote(us, 'eu-1').counters
    eu.kill()
    eu.source.write({ 's-1': 'while down', 's-2': null })
    await mesh.until(() => !remote(us, 'eu-1').reachable())
    const { raised, ...callback } = raising(eu.source)
    const again = await mesh.start('eu-1', { source: eu.source, join: [us], ...callback })
    expect(await mesh.until(() => holds(us, again) && remote(us, 'eu-1').fit)).toBeLessThan(2000)
    expect(remote(us, 'eu-1').counters).toMatchObject({ snapshots, repairs: 0, rejected: 0 })
    expect(raised).toEqual([])
  })

  it('and hears late what others wrote to its store, asks that before it calls the store rolled back', async () => {
    mesh = new MemoryMesh(13)
    const [eu, us] = await two()
    eu.kill()
    const { raised, ...callback } = raising(eu.source)
    // Another server on the store had published what this one does not see yet.
    eu.source.lag = 7
    let asked = 0
    const source = Object.assign(eu.source, {
      catchUp: async () => {
        if (++asked === 1) throw new Error('no majority')
        eu.source.lag = 0
      },
      storeRevision: () => eu.source.revision(),
    })
    const again = await mesh.start('eu-1', { source, join: [us], ...callback })
    await mesh.until(() => asked > 1 && holds(us, again) && remote(us, 'eu-1').fit)
    expect([raised, problems(again)]).toEqual([[], []])
  })

  it('with its store is no store that was rolled back, also while somebody reads its history', async () => {
    mesh = new MemoryMesh(12)
    const [eu, us] = await two()
    eu.kill()
    const { raised, ...callback } = raising(eu.source)
    eu.source.lag = 7
    const again = await mesh.start('eu-1', { source: eu.source, join: [us], ...callback })
    await mesh.clock.advance(5000)
    eu.source.lag = 0
    await mesh.until(() => holds(us, again) && remote(us, 'eu-1').fit)
    expect(raised).toEqual([])
    expect(problems(again)).toEqual([])
  })

  it('without its store raises the generation before it publishes', async () => {
    mesh = new MemoryMesh(2)
    const [eu, us] = await two()
    const entriesBefore = us.sinks.get('eu-1')!.entries.size
    eu.kill()
    const source = new MemorySource({ generation: 0, random: 'another-store-00' })
    source.write({ fresh: '1' })
    const { raised, ...callback } = raising(source)
    const again = await mesh.start('eu-1', { source, join: [us], ...callback })
    let emptied = false
    us.sinks.get('eu-1')!.onChange = () => {
      emptied ||= us.sinks.get('eu-1')!.entries.size < 1
    }
    await mesh.until(() => holds(us, again) && remote(us, 'eu-1').fit, 5000)
    expect(entriesBefore).toBe(5)
    expect(emptied).toBe(false)
    expect(raised).toEqual([0])
    expect(remote(us, 'eu-1').epoch?.generation).toBe(1)
    expect(remote(us, 'eu-1').state).toBe('live')
    expect(problems(again)).toEqual(['store-behind eu-1'])
    expect(problems(us)).toEqual(['restored eu-1'])
  })

  it('with an older copy of its store, in the same epoch, raises the generation', async () => {
    mesh = new MemoryMesh(3)
    const [eu, us] = await two()
    eu.kill()
    const source = eu.source.copyAt(10)
    const { raised, ...callback } = raising(source)
    const again = await mesh.start('eu-1', { source, join: [us], ...callback })
    await mesh.until(() => holds(us, again) && remote(us, 'eu-1').fit, 5000)
    expect(raised).toEqual([0])
  })

  it('learns it also when it could ask only after it had begun to publish', async () => {
    mesh = new MemoryMesh(4)
    const [eu, us] = await two()
    eu.kill()
    mesh.network.cut('eu-1', 'us-1')
    const source = new MemorySource({ generation: 0, random: 'another-store-00' })
    const { raised, ...callback } = raising(source)
    const again = await mesh.start('eu-1', { source, join: [us], ...callback })
    await mesh.clock.advance(10_000)
    expect(raised).toEqual([])
    mesh.network.heal('eu-1', 'us-1')
    await mesh.until(() => holds(us, again) && remote(us, 'eu-1').fit, 15_000)
    expect(raised).toEqual([0])
  })

  it('stays silent when the generation cannot be raised, and the replica keeps what it has', async () => {
    mesh = new MemoryMesh(5)
    const [eu, us] = await two()
    eu.kill()
    const errors: string[] = []
    const logger: Logger = { ...mesh.logger, error: (_fields, message) => errors.push(message), child: () => logger }
    mesh.logger = logger
    const source = new MemorySource({ generation: 0, random: 'another-store-00' })
    await mesh.start('eu-1', {
      source,
      join: [us],
      onOwnDatacenterAhead: () => Promise.reject(new Error('the disk is full')),
    })
    await mesh.clock.advance(10_000)
    expect(us.sinks.get('eu-1')!.entries.size).toBe(5)
    expect(remote(us, 'eu-1').state).not.toBe('live')
    expect(errors.join()).toContain('generation')
  })
})

describe('two servers on one store', () => {
  it('go on together in the epoch that one of them raised', async () => {
    mesh = new MemoryMesh(12)
    const us = await mesh.start('us-1')
    const source = new MemorySource()
    const first = await mesh.start('eu-1', { node: 'eu-1-1', source, join: [us] })
    const second = await mesh.start('eu-1', { node: 'eu-1-2', source, join: [us] })
    source.write({ a: '1' })
    await mesh.until(() => holds(us, first))
    source.epoch = { generation: 1, random: 'raised0000000000' }
    await mesh.until(() => remote(us, 'eu-1').epoch?.generation === 1, 5000)
    first.kill()
    source.write({ a: '2' })
    await mesh.until(() => holds(us, second), 10_000)
    expect(second.source).toBe(source)
  })
})

describe('quarantine', () => {
  it('holds off a second store of the same generation, visibly, and keeps the first', async () => {
    mesh = new MemoryMesh(6)
    const [eu, us] = await two()
    mesh.network.cut('eu-1', 'eu-1')
    const rival = new MemorySource({ generation: 0, random: 'rival-0000000000' })
    rival.write({ rival: '1' })
    const second = await mesh.start('eu-1', { node: 'eu-1-2', source: rival, join: [us] })
    await mesh.until(() => remote(us, 'eu-1').state === 'quarantined', 3000)
    expect(remote(us, 'eu-1').fit).toBe(false)
    expect(problems(us)).toEqual(['rival-store eu-1'])
    eu.source.write({ more: '1' })
    await mesh.until(() => holds(us, eu))
    second.kill()
    await mesh.until(() => remote(us, 'eu-1').state === 'live', 65_000)
  })

  it('holds off a second datacenter under a name that is taken', async () => {
    mesh = new MemoryMesh(7)
    const [eu, us] = await two()
    mesh.network.cut('eu-1', 'eu-1')
    const source = new MemorySource({ generation: 5, random: 'imposter00000000' })
    source.write({ imposter: '1' })
    await mesh.start('eu-1', { node: 'eu-1-x', datacenterId: 'id-imposter', source, join: [us] })
    await mesh.until(() => remote(us, 'eu-1').state === 'quarantined', 3000)
    expect(us.sinks.get('eu-1')!.entries.has('imposter')).toBe(false)
    expect(problems(us)).toEqual(['name-taken eu-1'])
    expect(
      remote(us, 'eu-1')
        .gateways()
        .map(({ node }) => node),
    ).toEqual(['eu-1-1'])
    eu.source.write({ more: '1' })
    await mesh.until(() => holds(us, eu))
  })

  it('takes nothing from a datacenter that took the name, also when it is all that can be reached', async () => {
    mesh = new MemoryMesh(13)
    const [eu, us] = await two()
    mesh.network.cut('eu-1', 'eu-1')
    eu.kill()
    const source = new MemorySource({ generation: 5, random: 'imposter00000000' })
    source.write({ imposter: '1' })
    const imposter = await mesh.start('eu-1', { node: 'eu-1-x', datacenterId: 'id-imposter', source, join: [us] })
    await mesh.until(() => us.host.peer(imposter.host.self.peerId) !== undefined)
    await mesh.clock.advance(8000)
    expect([...us.sinks.get('eu-1')!.entries.keys()]).not.toContain('imposter')
    expect(remote(us, 'eu-1').reachable()).toBe(false)
    expect(remote(us, 'eu-1').epoch?.generation).toBe(0)
  })

  it('ends with a newer epoch', async () => {
    mesh = new MemoryMesh(8)
    const [eu, us] = await two()
    mesh.network.cut('eu-1', 'eu-1')
    const rival = new MemorySource({ generation: 0, random: 'rival-0000000000' })
    const second = await mesh.start('eu-1', { node: 'eu-1-2', source: rival, join: [us] })
    await mesh.until(() => remote(us, 'eu-1').state === 'quarantined', 3000)
    second.kill()
    eu.kill()
    eu.source.epoch = { generation: 1, random: 'restored00000000' }
    const again = await mesh.start('eu-1', { source: eu.source, join: [us] })
    await mesh.until(() => remote(us, 'eu-1').epoch?.generation === 1, 5000)
    expect(remote(us, 'eu-1').state).toBe('live')
    expect(holds(us, again)).toBe(true)
  })
})

describe('a replica that restarts', () => {
  it('answers from what it saved while the WAN is cut, unfit for failover, and goes on by delta', async () => {
    mesh = new MemoryMesh(9)
    const [eu, us] = await two()
    await mesh.clock.advance(2000)
    const saved = us.federation.saveReplica('eu-1')!
    us.kill()
    mesh.network.cut('eu-1', 'us-1')
    await mesh.clock.advance(30_000)
    const again = await mesh.start('us-1', { source: us.source, join: [eu], savedReplicas: [saved] })
    expect(holds(again, eu)).toBe(true)
    expect(remote(again, 'eu-1')).toMatchObject({ loaded: true, fit: false, state: 'lost' })
    expect(remote(again, 'eu-1').ageMs()).toBeGreaterThanOrEqual(30_000)
    expect(again.federation.datacenters()).toEqual(['us-1', 'eu-1'])
    eu.source.write({ 's-1': 'later' })
    mesh.network.heal('eu-1', 'us-1')
    await mesh.until(() => holds(again, eu) && remote(again, 'eu-1').fit, 10_000)
    expect(remote(again, 'eu-1').counters).toMatchObject({ snapshots: 0, repairs: 0 })
  })

  it('reads a snapshot where the history that it needs is gone', async () => {
    mesh = new MemoryMesh(10)
    const [eu, us] = await two()
    mesh.network.cut('eu-1', 'us-1')
    await mesh.clock.advance(8000)
    eu.source.write({ 's-1': 'later', 's-2': null })
    eu.source.compact()
    mesh.network.heal('eu-1', 'us-1')
    const before = remote(us, 'eu-1').counters.snapshots
    await mesh.until(() => holds(us, eu), 5000)
    expect(remote(us, 'eu-1').counters.snapshots).toBe(before + 1)
  })
})

describe('several gateways of one datacenter', () => {
  it('speak one at a time, and the next takes over', async () => {
    mesh = new MemoryMesh(11)
    const us = await mesh.start('us-1')
    const source = new MemorySource()
    const first = await mesh.start('eu-1', { node: 'a', source, join: [us] })
    const second = await mesh.start('eu-1', { node: 'b', source, join: [us] })
    await mesh.clock.advance(3000)
    const perDelta: number[] = []
    for (const expected of [1, 1]) {
      const before = mesh.network.counters.gossip
      source.write({ a: `${perDelta.length}` })
      await mesh.clock.advance(50)
      perDelta.push(mesh.network.counters.gossip - before)
      expect(expected).toBe(1)
    }
    await mesh.until(() => holds(us, first))
    for (const node of [first, second]) node.kill()
    const third = await mesh.start('eu-1', { node: 'c', source, join: [us] })
    source.write({ a: 'after' })
    await mesh.until(() => holds(us, third), 3000)
    expect(remote(us, 'eu-1').counters).toMatchObject({ repairs: 0, rejected: 0 })
  })
})

describe('a gateway that left and comes back', () => {
  it('is heard, also when its clock was set back in between', async () => {
    mesh = new MemoryMesh(15)
    const [eu, us] = await two()
    await mesh.settle(eu.federation.leave())
    await mesh.until(() => us.federation.remote('eu-1') === undefined)
    const { clock } = mesh
    const setBack: Clock = {
      nowMs: () => clock.nowMs(),
      wallMs: () => clock.wallMs() - 3_600_000,
      after: (delayMs, fn) => clock.after(delayMs, fn),
      every: (periodMs, fn) => clock.every(periodMs, fn),
      sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
      deadline: (delayMs, parent) => clock.deadline(delayMs, parent),
    }
    const again = await mesh.start('eu-1', { source: eu.source, join: [us], clock: setBack })
    again.source.write({ after: '1' })
    await mesh.until(() => us.federation.remote('eu-1')?.state === 'live' && holds(us, again), 5000)
  })
})
