import { describe, expect, it } from 'vitest'
import type { NodeRow } from '../model/entries.ts'
import type { Member } from '../model/member.ts'
import { type ConnectedNode, isHealthy, lanMembers, wanMembers } from './members.ts'

const self: Member = {
  name: 'n1',
  address: '10.0.0.1',
  port: 8300,
  datacenter: 'eu-1',
  role: 'server',
  status: 'alive',
  id: 'id-n1',
  peerId: 'p1',
  runtime: 'node',
  version: '1',
}
const peer = (node: string, fields: Partial<ConnectedNode> = {}): ConnectedNode => ({
  node,
  nodeId: `id-${node}`,
  peerId: `p-${node}`,
  datacenter: 'eu-1',
  role: 'client',
  address: '/ip6/fd00::7/tcp/8301',
  direction: 'outbound',
  ...fields,
})
const row = (node: string): NodeRow => ({
  id: `id-${node}`,
  node,
  address: '10.0.0.9',
  taggedAddresses: null,
  meta: null,
  owner: 'agent',
  createIndex: 1,
  modifyIndex: 1,
})
const factsOf = (id: string) => (id === 'id-n2' ? { runtime: 'bun', version: '2' } : undefined)

describe('members', () => {
  it('of the own datacenter: this node, who is connected, and who is registered and not heard', () => {
    const connected = [peer('n2'), peer('us', { datacenter: 'us-1', role: 'server' })]
    const registered = [
      { node: row('n2'), healthy: true },
      { node: row('n3'), healthy: false },
    ]
    const members = lanMembers({ self, connected, factsOf, registered })
    expect(members.map(({ name, status, runtime }) => [name, status, runtime])).toEqual([
      ['n1', 'alive', 'node'],
      ['n2', 'alive', 'bun'],
      ['n3', 'failed', ''],
    ])
    expect(members[1]).toMatchObject({ address: '10.0.0.9', port: 8301 })
  })

  it('the port of a connection that the other side opened is none to dial', () => {
    const connected = [peer('n2'), peer('n3', { direction: 'inbound', address: '/ip4/10.0.0.3/tcp/54321' })]
    const members = lanMembers({ self, connected, factsOf, registered: [] })
    expect(members.map(({ address, port }) => [address, port])).toEqual([
      ['10.0.0.1', 8300],
      ['fd00::7', 8301],
      ['10.0.0.3', 0],
    ])
  })

  it('another node under the name of this one does not take its place', () => {
    const members = lanMembers({ self, connected: [peer('n1', { nodeId: 'other' })], factsOf, registered: [] })
    expect(members).toEqual([self])
  })

  it('of the mesh: the servers of all datacenters, by name and datacenter', () => {
    const servers = ['us-1', 'ap-1'].map((datacenter) => peer('n1', { datacenter, role: 'server' }))
    const members = wanMembers(self, [...servers, peer('n2')], factsOf)
    expect(members.map(({ datacenter }) => datacenter)).toEqual(['ap-1', 'eu-1', 'us-1'])
  })

  it('a node without a serfHealth counts as healthy', () => {
    expect(isHealthy([])).toBe(true)
    expect(isHealthy([{ checkId: 'serfHealth', status: 'critical' }])).toBe(false)
  })
})
