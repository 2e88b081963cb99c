import { Packr } from 'msgpackr'
import { describe, expect, it } from 'vitest'
import type { CheckEntry, NodeEntry, ServiceEntry } from '../model/entries.ts'
import * as codec from './codec.ts'

const node: NodeEntry = {
  id: '2402f8fb-15cd-d418-ac27-fba493403211',
  node: 'N1',
  address: '10.0.0.1',
  taggedAddresses: { wan: '198.18.0.1', lan: '10.0.0.1' },
  meta: null,
  owner: 'agent',
}
const service: ServiceEntry = {
  node: 'N1',
  id: 'web-1',
  service: 'web',
  kind: '',
  tags: ['v1', 'grün'],
  address: '',
  taggedAddresses: { wan: { address: '198.18.0.1', port: 80 } },
  meta: {},
  port: 8080,
  socketPath: '',
  weights: { passing: 5, warning: 2 },
  enableTagOverride: true,
  proxy: { Mode: 'direct' },
  connect: null,
  failover: false,
  owner: 'catalog',
}
const check: CheckEntry = {
  node: 'N1',
  checkId: 'c',
  name: 'check',
  status: 'warning',
  notes: 'n',
  output: 'o',
  serviceId: 'web-1',
  serviceName: 'web',
  serviceTags: [],
  type: 'http',
  interval: '10s',
  timeout: '1s',
  exposedPort: 0,
  definition: { HTTP: 'http://x', Header: { a: ['b'] } },
  owner: 'agent',
}

describe('codec', () => {
  it('gives back what was stored, with its indexes', () => {
    expect(codec.decodeNode(codec.encodeNode(node), 3, 5)).toEqual({ ...node, createIndex: 3, modifyIndex: 5 })
    expect(codec.decodeService(codec.encodeService(service), 1, 2)).toEqual({
      ...service,
      createIndex: 1,
      modifyIndex: 2,
    })
    expect(codec.decodeCheck(codec.encodeCheck(check), 1, 2)).toEqual({
      ...check,
      notes: '',
      output: '',
      createIndex: 1,
      modifyIndex: 2,
    })
    expect(codec.decodeOutput(codec.encodeOutput(check))).toEqual({ notes: 'n', output: 'o' })
    const coordinate = { vec: [0.5, -1, 0, 0, 0, 0, 0, 0], error: 1.5, adjustment: -0.1, height: 1e-5 }
    const row = { node: 'N1', segment: '', coordinate }
    expect(codec.decodeCoordinate(codec.encodeCoordinate(row))).toEqual(row)
    const locality = { region: 'r', zone: 'z' }
    expect(codec.decodeNode(codec.encodeNode({ ...node, locality }), 1, 1).locality).toEqual(locality)
    expect(codec.decodeService(codec.encodeService({ ...service, locality }), 1, 1).locality).toEqual(locality)
    // Entries without have the bytes that they always had: digests of replicas are made of them.
    expect(codec.encodeService(service).length).toBeLessThan(codec.encodeService({ ...service, locality }).length)
    const busy = codec.decodeService(codec.encodeService({ ...service, load: 0.25 }), 1, 1)
    expect([busy.load, busy.locality]).toEqual([0.25, undefined])
    const both = { ...service, locality, load: 0 }
    expect(codec.decodeService(codec.encodeService(both), 1, 1)).toMatchObject({ locality, load: 0 })
    const { failover: _, ...plain } = service
    expect('failover' in codec.decodeService(codec.encodeService(plain), 1, 1)).toBe(false)
  })

  it.each([0n, 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n, codec.MAX_FLAGS])('keeps flags of %s', (flags) => {
    const row = codec.decodeKv(
      'k',
      codec.encodeKv({ flags, lockIndex: 7, session: 's', value: bytes(1, 2, 255) }),
      1,
      2,
    )
    expect(row.flags).toBe(flags)
    expect([...row.value]).toEqual([1, 2, 255])
    expect(row).toMatchObject({ key: 'k', lockIndex: 7, session: 's', createIndex: 1, modifyIndex: 2 })
  })

  it('keeps an empty value', () => {
    const row = codec.decodeKv('k', codec.encodeKv({ flags: 0n, lockIndex: 0, session: '', value: bytes() }), 1, 1)
    expect(row.value).toEqual(new Uint8Array(0))
  })

  it('does not keep a large buffer for a small value', () => {
    const encoded = codec.encodeKv({ flags: 0n, lockIndex: 0, session: '', value: bytes(1, 2) })
    const large = new Uint8Array(100_000)
    large.set(encoded, 500)
    const row = codec.decodeKv('k', large.subarray(500, 500 + encoded.length), 1, 1)
    expect(row.value.buffer.byteLength).toBeLessThan(1000)
    expect(codec.encodeNode(node).buffer.byteLength).toBeLessThan(1000)
  })

  it('writes equal maps as equal bytes', () => {
    const other = { ...node, taggedAddresses: { lan: '10.0.0.1', wan: '198.18.0.1' } }
    expect(codec.encodeNode(other)).toEqual(codec.encodeNode(node))
  })

  it('ignores fields that are newer, and gives missing ones their default', () => {
    const packr = new Packr({ useRecords: false })
    expect(codec.decodeNode(packr.pack([2, 'id', 'n', 'a', null, null, 1, 'new', { x: 1 }]), 1, 1)).toMatchObject({
      id: 'id',
      node: 'n',
      owner: 'agent',
    })
    expect(codec.decodeService(packr.pack([1, 'n', 'i', 's']), 1, 1)).toMatchObject({
      port: 0,
      tags: [],
      weights: { passing: 1, warning: 1 },
      meta: null,
    })
    expect(codec.decodeCheck(packr.pack([1, 'n', 'c', 'name', 9]), 1, 1)).toMatchObject({ status: 'critical' })
  })

  it('refuses what is no entry', () => {
    expect(() => codec.decodeNode(new Uint8Array([0xc1]), 1, 1)).toThrow()
    expect(() => codec.decodeNode(new Packr().pack('x'), 1, 1)).toThrow()
  })

  it('keeps the records of the leader and of the node leases', () => {
    const lease = { node: 'n', bootId: 'b', server: 's' }
    expect(codec.decodeNodeLease(codec.encodeNodeLease(lease))).toEqual(lease)
    // As older servers wrote it.
    expect(codec.decodeNodeLease(new Packr().pack([1, 'n', 'b']))).toEqual({ ...lease, server: '' })
    const leader = { serverId: 's', address: 'h:1', bootId: 'b' }
    expect(codec.decodeLeader(codec.encodeLeader(leader))).toEqual(leader)
    expect(codec.decodeOutcome(codec.encodeOutcome(true, 'k'))).toEqual({ applied: true, key: 'k' })
    expect(codec.decodeBulkDeletion(codec.encodeBulkDeletion([['web', 0]]))).toEqual([['web', 0]])
    const ages = { elapsedMs: 5, samples: [[1, 2 ** 40]] as const }
    expect(codec.decodeAges(codec.encodeAges(ages))).toEqual(ages)
    expect(codec.decodeFailover(codec.encodeFailover('web'))).toBe('web')
  })
})

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values)
