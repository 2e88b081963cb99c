import { describe, expect, test } from 'vitest'
import { queryEntry } from '../catalog/testing/prepared-query.ts'
import { AtollError } from '../model/errors.ts'
import type { Execution } from '../resolver/mesh.ts'
import { SeededRandom, VirtualClock } from '../runtime/virtual.ts'
import { RCODE } from './query.ts'
import { Responder } from './responder.ts'
import type { DnsSettings } from './settings.ts'
import { FakeMesh, instance, nodeRow, settings } from './testing/fake-mesh.ts'
import { type QueryOptions, queryFor, readMessage } from './testing/queries.ts'

interface Given {
  readonly settings?: Partial<DnsSettings>
  /** What recursors answer. */
  readonly recursor?: (query: Uint8Array, transport: string) => Promise<Uint8Array | undefined>
}

function responder(given: Given = {}) {
  const mesh = new FakeMesh()
  const clock = new VirtualClock()
  const recursors = { available: given.recursor !== undefined, ask: given.recursor ?? (async () => undefined) }
  const face = new Responder({
    mesh,
    clock,
    random: new SeededRandom(1),
    settings: settings(given.settings),
    recursors,
  })
  const raw = (data: Uint8Array, transport: 'udp' | 'tcp' = 'udp') => face.respond(data, transport)
  const ask = (name: string, options: QueryOptions = {}, transport: 'udp' | 'tcp' = 'udp') => {
    const answer = raw(queryFor(name, options), transport)
    if (!(answer instanceof Uint8Array)) throw new Error('not answered at once')
    return readMessage(answer)
  }
  const wait = async (name: string, options: QueryOptions = {}) => readMessage((await raw(queryFor(name, options)))!)
  return { mesh, clock, face, raw, ask, wait }
}

describe('services', () => {
  test('instances that are critical are left out, those in warning count by their own weight', () => {
    const { mesh, ask } = responder()
    const weights = { passing: 10, warning: 2 }
    const all = [
      instance('web', 1, { service: { weights } }),
      instance('web', 2, { service: { weights }, status: 'warning' }),
      instance('web', 3, { status: 'critical' }),
    ]
    mesh.answering = (question) => (question.kind === 'service' && question.passing ? [all[0]!] : all)
    expect([...ask('web.service.consul', { type: 'SRV' }).answers].sort()).toEqual([
      'web.service.consul 0 SRV 1 10 8001 n-1.node.dc1.consul',
      'web.service.consul 0 SRV 1 2 8002 n-2.node.dc1.consul',
    ])
    const passing = responder({ settings: { onlyPassing: true } })
    passing.mesh.answering = (question) => (question.kind === 'service' && question.passing ? [all[0]!] : all)
    expect(passing.ask('web.service.consul').answers).toEqual(['web.service.consul 0 A 10.0.0.1'])
  })

  test('the plain name follows the resolver to another datacenter, with the distance as priority', () => {
    const { mesh, ask } = responder()
    const remote = { datacenter: 'us-1', distanceMs: 80.2, ageMs: 3, address: '198.51.100.7', port: 443 }
    const away = { value: [instance('web', 7, { remote })], datacenter: 'us-1', failover: { from: 'dc1', to: 'us-1' } }
    mesh.answering = (question) =>
      question.kind === 'service' && question.passing ? away : [instance('web', 1, { status: 'critical' })]
    const { answers, additional } = ask('web.service.atoll', { type: 'SRV' })
    expect(answers).toEqual(['web.service.atoll 0 SRV 82 1 443 c6336407.addr.us-1.atoll'])
    expect(additional).toEqual(['c6336407.addr.us-1.atoll 0 A 198.51.100.7'])
    expect(ask('web.service.atoll').answers).toEqual(['web.service.atoll 0 A 198.51.100.7'])
  })

  test('of two answers that disagree for a moment, neither makes the name vanish', () => {
    const { mesh, ask } = responder()
    const [well, failed] = [instance('web', 1), instance('web', 1, { status: 'critical' })]
    let [passing, all] = [[well], [failed]]
    mesh.answering = (question) => (question.kind === 'service' && question.passing ? passing : all)
    expect(ask('web.service.consul').answers).toHaveLength(1)
    ;[passing, all] = [[], [well]]
    expect(ask('web.service.consul').answers).toHaveLength(1)
    ;[passing, all] = [[], [failed]]
    expect(ask('web.service.consul').rcode).toBe(RCODE.NXDOMAIN)
  })

  test('a datacenter that is named is asked for, and told by its wan addresses', () => {
    const { mesh, ask } = responder()
    const there = instance('web', 7, { node: { taggedAddresses: { wan: '198.51.100.7' } } })
    mesh.answering = (_, { datacenter }) => (datacenter === 'eu-1' ? [there] : [])
    const { answers, additional } = ask('web.service.eu-1.consul', { type: 'SRV' })
    expect(answers).toEqual(['web.service.eu-1.consul 0 SRV 1 1 8007 n-7.node.eu-1.consul'])
    expect(additional).toEqual(['n-7.node.eu-1.consul 0 A 198.51.100.7'])
    expect(ask('web.service.us-9.consul').rcode).toBe(RCODE.NXDOMAIN)
  })

  test('nothing there, unknown datacenters and missing types are negative answers with SOA', () => {
    const { mesh, ask } = responder({ settings: { soa: { ...settings().soa, minimumSeconds: 7 } } })
    mesh.answering = (_, { datacenter }) => {
      if (datacenter === 'nope') throw new AtollError('no-path', 'No path to datacenter')
      return datacenter === 'dc1' ? [instance('web', 1)] : []
    }
    const soa = 'consul 7 SOA ns.consul hostmaster.consul 3600 600 86400 7'
    expect(ask('web.service.nope.consul')).toMatchObject({ rcode: RCODE.NXDOMAIN, authority: [soa] })
    expect(ask('web.service.consul', { type: 'AAAA' })).toMatchObject({ rcode: 0, answers: [], authority: [soa] })
    expect(ask('x.y.z.consul')).toMatchObject({ rcode: RCODE.NXDOMAIN, authority: [soa] })
    expect(ask('service.consul')).toMatchObject({ rcode: 0, authority: [soa] })
  })

  test('TTLs by service, the longest pattern first', () => {
    const { mesh, ask } = responder({ settings: { ttlSeconds: { node: 5, service: { '*': 10, 'we*': 20, Web: 30 } } } })
    mesh.answering = (question) => [instance(question.kind === 'service' ? question.service : '', 1)]
    expect(ask('web.service.consul').answers).toEqual(['web.service.consul 30 A 10.0.0.1'])
    expect(ask('wear.service.consul').answers).toEqual(['wear.service.consul 20 A 10.0.0.1'])
    expect(ask('db.service.consul').answers).toEqual(['db.service.consul 10 A 10.0.0.1'])
  })

  test('names that cannot be in DNS are told by their address', () => {
    const { mesh, ask } = responder()
    mesh.answering = () => [
      instance('web', 1, { node: { node: 'x'.repeat(70) } }),
      instance('web', 2, { node: { node: 'a..b' } }),
    ]
    expect(
      ask('web.service.consul', { type: 'SRV' })
        .answers.map((each) => each.split(' ').at(-1))
        .sort(),
    ).toEqual(['0a000001.addr.dc1.consul', '0a000002.addr.dc1.consul'])
  })
})

describe('what is kept', () => {
  test('is made anew when the answer is another, and only then', () => {
    const { mesh, clock, ask } = responder()
    let value = [instance('web', 1)]
    mesh.answering = () => value
    expect(ask('web.service.consul').answers).toHaveLength(1)
    const before = mesh.prepared
    expect(ask('WEB.service.CONSUL').answers).toEqual(['WEB.service.CONSUL 0 A 10.0.0.1'])
    expect(mesh.prepared).toBe(before)
    value = [...value, instance('web', 2)]
    expect(ask('web.service.consul').answers).toHaveLength(2)
    clock.stall(1_500)
    ask('web.service.consul')
    expect(mesh.prepared).toBeGreaterThan(before)
  })

  test('each type and name is its own', () => {
    const { mesh, ask } = responder()
    mesh.answering = (question) =>
      question.kind === 'node'
        ? { value: { node: nodeRow('n-1', { meta: { a: 'b' } }), services: [], checks: [] } }
        : []
    expect(ask('n-1.node.consul')).toMatchObject({
      answers: ['n-1.node.consul 0 A 10.0.0.1'],
      additional: ['n-1.node.consul 0 TXT "a=b"'],
    })
    expect(ask('n-1.node.consul', { type: 'TXT' }).answers).toEqual(['n-1.node.consul 0 TXT "a=b"'])
    expect(ask('n-1.node.consul', { type: 'ANY' }).answers).toHaveLength(2)
  })
})

describe('what takes waiting', () => {
  test('is answered later, and fails within its bounds', async () => {
    const { mesh, raw, wait, face } = responder({ settings: { maxPending: 2 } })
    mesh.immediate = false
    mesh.answering = () => [instance('web', 1)]
    expect((await wait('web.service.consul')).answers).toHaveLength(1)
    const never = new Promise<never>(() => {})
    const held = mesh.prepare.bind(mesh)
    mesh.prepare = ((...args: Parameters<typeof held>) => ({ ...held(...args), answer: () => never })) as typeof held
    const waiting = [raw(queryFor('a.service.consul')), raw(queryFor('b.service.consul'))]
    expect(waiting.every((each) => each instanceof Promise)).toBe(true)
    expect(readMessage((await raw(queryFor('c.service.consul')))!).rcode).toBe(RCODE.SERVFAIL)
    face.close()
  })

  test('a server that cannot be reached is SERVFAIL', async () => {
    const { mesh, wait } = responder()
    mesh.immediate = false
    let asked = 0
    mesh.answering = () => {
      if (asked++ > 0) throw new AtollError('unavailable', 'no server')
      return []
    }
    expect((await wait('web.service.eu-1.consul')).rcode).toBe(RCODE.SERVFAIL)
  })
})

describe('names of others', () => {
  const target = { node: 'n-1', address: 'host.example.com' }

  test('are refused without recursors, and handed on with them', async () => {
    expect(responder().ask('example.com')).toMatchObject({ rcode: RCODE.REFUSED, recursionAvailable: false })
    const asked: string[] = []
    const { wait, ask } = responder({
      recursor: async (query, transport) => {
        asked.push(transport)
        const answer = query.slice()
        answer[2]! |= 0x80
        return answer
      },
    })
    expect((await wait('example.com')).rcode).toBe(0)
    expect(ask('example.com', { recursionDesired: false }).rcode).toBe(RCODE.REFUSED)
    expect(asked).toEqual(['udp'])
  })

  test('recursors that do not answer are SERVFAIL', async () => {
    expect((await responder({ recursor: async () => undefined }).wait('example.com')).rcode).toBe(RCODE.SERVFAIL)
  })

  test('a host name is a CNAME, followed within our domains', () => {
    const { mesh, ask } = responder()
    mesh.answering = (question) => {
      if (question.kind === 'node')
        return { value: { node: nodeRow('d-a', { address: '10.11.0.1' }), services: [], checks: [] } }
      return question.kind === 'service' && question.service === 'inner'
        ? [instance('inner', 1, { service: { address: 'd-a.node.consul' } })]
        : [instance('named', 1, { node: target })]
    }
    expect(ask('named.service.consul').answers).toEqual(['named.service.consul 0 CNAME host.example.com'])
    expect(ask('named.service.consul', { type: 'SRV' }).answers).toEqual([
      'named.service.consul 0 SRV 1 1 8001 host.example.com',
    ])
    expect(ask('inner.service.consul').answers).toEqual([
      'inner.service.consul 0 CNAME d-a.node.consul',
      'd-a.node.consul 0 A 10.11.0.1',
    ])
  })
})

describe('prepared queries', () => {
  const query = (dnsTtl = '') => ({ ...queryEntry('id', { name: 'wq', dnsTtl }), createIndex: 1, modifyIndex: 1 })
  const given = (more: Partial<Execution> = {}): { value: Execution } => ({
    value: { query: query(), instances: [instance('web', 1)], isOrdered: false, failovers: 0, ...more },
  })

  test('are asked for by their names, with dots in them too, at the datacenter that is named', () => {
    const { mesh, ask } = responder()
    const asked: unknown[] = []
    mesh.answering = (question, { datacenter }) => {
      asked.push([question, datacenter])
      return given()
    }
    expect(ask('wq.query.consul', { type: 'SRV' })).toMatchObject({
      answers: ['wq.query.consul 0 SRV 1 1 8001 n-1.node.dc1.consul'],
      additional: ['n-1.node.dc1.consul 0 A 10.0.0.1'],
    })
    ask('A.b.query.us-1.consul')
    expect(asked.at(-1)).toEqual([{ kind: 'query-execute', query: 'a.b' }, 'us-1'])
  })

  test('have TTLs of their own, or those of their service', () => {
    const { mesh, ask } = responder({ settings: { ttlSeconds: { node: 5, service: { web: 30 } } } })
    mesh.answering = () => given({ query: query('7500ms') })
    expect(ask('wq.query.consul').answers).toEqual(['wq.query.consul 7 A 10.0.0.1'])
    mesh.answering = () => given()
    expect(ask('wq.query.consul').answers).toEqual(['wq.query.consul 30 A 10.0.0.1'])
  })

  test('that are missing or select nothing have no name', () => {
    const { mesh, ask } = responder()
    mesh.answering = () => ({ value: undefined })
    expect(ask('wq.query.consul').rcode).toBe(RCODE.NXDOMAIN)
    mesh.answering = () => given({ instances: [] })
    expect(ask('wq.query.consul').rcode).toBe(RCODE.NXDOMAIN)
    mesh.answering = () => {
      throw new AtollError('invalid', 'a template by its id')
    }
    expect(ask('wq.query.consul').rcode).toBe(RCODE.NXDOMAIN)
  })

  test('keep their order by nearness, and tell a failover as the plain name does', () => {
    const { mesh, ask } = responder()
    const instances = Array.from({ length: 20 }, (_, i) =>
      instance('web', i, { service: { weights: { passing: i, warning: 1 } } }),
    )
    mesh.answering = () => given({ instances, isOrdered: true })
    const wanted = instances.map(({ node }) => `wq.query.consul 0 A ${node.address}`)
    expect(ask('wq.query.consul').answers).toEqual(wanted)
    const remote = { datacenter: 'us-1', distanceMs: 80.2, ageMs: 3, address: '198.51.100.7', port: 443 }
    mesh.answering = () => ({ ...given({ instances: [instance('web', 7, { remote })] }), datacenter: 'us-1' })
    expect(ask('wq.query.consul', { type: 'SRV' }).answers).toEqual([
      'wq.query.consul 0 SRV 82 1 443 c6336407.addr.us-1.consul',
    ])
  })
})

describe('targets that are registered as names', () => {
  test('of ours come with their addresses, which are followed as they change', () => {
    const { mesh, ask } = responder()
    let address = '10.11.0.1'
    const value = ['d-a.node.consul', 'd-b.node.consul', 'db.example.com'].map((name, i) =>
      instance('inner', i, { service: { address: name } }),
    )
    mesh.answering = (question) => {
      if (question.kind !== 'node') return value
      const given = question.node === 'd-a' ? address : '2001:db8::1'
      return { value: { node: nodeRow(question.node, { address: given }), services: [], checks: [] } }
    }
    const additional = () => [...ask('inner.service.consul', { type: 'SRV' }).additional].sort()
    expect(additional()).toEqual(['d-a.node.consul 0 A 10.11.0.1', 'd-b.node.consul 0 AAAA 2001:db8::1'])
    const before = mesh.prepared
    additional()
    expect(mesh.prepared).toBe(before)
    address = '10.11.0.9'
    expect(additional()).toContain('d-a.node.consul 0 A 10.11.0.9')
  })

  test('that are not known yet come without', () => {
    const { mesh, ask } = responder()
    mesh.answering = (question) => {
      if (question.kind === 'node') throw new AtollError('unavailable', 'no server')
      return [instance('inner', 1, { service: { address: 'd-a.node.consul' } })]
    }
    expect(ask('inner.service.consul', { type: 'SRV' })).toMatchObject({ additional: [], rcode: 0 })
  })
})

describe('what is refused', () => {
  test('zone transfers, other operations, other versions, and nonsense', () => {
    const { ask, raw } = responder()
    expect(ask('consul', { type: 'AXFR' }).rcode).toBe(RCODE.REFUSED)
    expect(ask('consul', { type: 'IXFR' }, 'tcp').rcode).toBe(RCODE.REFUSED)
    expect((raw(queryFor('consul', { opcode: 5 })) as Uint8Array)[3]! & 15).toBe(RCODE.NOTIMP)
    expect(raw(Uint8Array.from([1, 2, 3]))).toBeUndefined()
    const badVersion = raw(queryFor('consul', { udpBytes: 512, ednsVersion: 3 })) as Uint8Array
    expect(badVersion[3]! & 15).toBe(0)
    expect(badVersion.at(-6)).toBe(1)
  })

  test('nothing that is sent throws or outgrows what may be answered', () => {
    const { mesh, face } = responder()
    const random = new SeededRandom(3)
    mesh.answering = () => Array.from({ length: 30 }, (_, i) => instance('web', i))
    const originals = [
      queryFor('web.service.consul', { type: 'SRV', udpBytes: 1232, subnet: [0, 1, 24, 0, 192, 0, 2] }),
      queryFor('_web._tcp.service.dc1.atoll', { type: 'SRV' }),
      queryFor('1.0.0.10.in-addr.arpa', { type: 'PTR' }),
    ]
    for (let i = 0; i < 5_000; i++) {
      const data = originals[i % originals.length]!.slice()
      for (let k = 0; k < 1 + (i % 5); k++)
        data[Math.floor(random.float() * data.length)] = Math.floor(random.float() * 256)
      const answer = face.respond(
        data.subarray(0, i % 7 === 0 ? Math.floor(random.float() * data.length) : undefined),
        'udp',
      )
      if (answer instanceof Uint8Array) expect(answer.length).toBeLessThanOrEqual(8_192)
    }
  })
})
