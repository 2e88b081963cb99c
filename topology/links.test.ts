import { describe, expect, it } from 'vitest'
import { DialledLinks, LinkTable } from './links.ts'
import { parseTopology } from './schema.ts'

const topology = parseTopology({
  name: 'three',
  datacenters: [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
  matrix: { a: { b: 80, c: 230 }, b: { c: 150 } },
})
const ports = { '8300': 'a', '8320': 'b', '8340': 'c' }

describe('LinkTable', () => {
  it('finds a link from both ends, changes it, keeps the others', () => {
    const table = new LinkTable(topology)
    table.change(table.between('b', 'a'), { cut: true })
    table.change(table.between('a', 'b'), { rttMs: 90 })
    expect(table.between('b', 'a')).toEqual({ between: ['a', 'b'], rttMs: 90, cut: true })
    expect(table.between('a', 'c')).toEqual({ between: ['a', 'c'], rttMs: 230, cut: false })
  })

  it('selects all links of one datacenter', () => {
    expect(new LinkTable(topology).select('c').map((row) => row.rttMs)).toEqual([230, 150])
  })

  it('says what is wrong with a name or a time', () => {
    const table = new LinkTable(topology)
    expect(() => table.between('a', 'd')).toThrow('no datacenter "d" in this mesh; there are a, b, c')
    expect(() => table.between('a', 'a')).toThrow('"a" twice')
    expect(() => table.change(table.between('a', 'b'), { rttMs: Number.NaN })).toThrow('NaN is none')
  })

  it('takes in a datacenter at run time', () => {
    const table = new LinkTable(topology)
    table.add('d', { a: 190 })
    expect(table.select('d').map((row) => [...row.between, row.rttMs])).toEqual([
      ['a', 'd', 190],
      ['b', 'd', 0],
      ['c', 'd', 0],
    ])
  })
})

describe('DialledLinks', () => {
  it('knows a link by the port of the other side', () => {
    const table = new LinkTable(topology)
    const links = new DialledLinks({ datacenter: 'a', ports, links: table.rows() })
    expect(links.to('/ip4/127.0.0.1/tcp/8320')).toEqual({ rttMs: 80, cut: false })
    expect(links.to('/ip4/127.0.0.1/tcp/8340/p2p/12D3KooW')).toEqual({ rttMs: 230, cut: false })
    table.change(table.between('a', 'b'), { cut: true })
    links.update({ datacenter: 'a', ports, links: table.rows() })
    expect(links.to('/ip4/127.0.0.1/tcp/8320')).toEqual({ rttMs: 80, cut: true })
  })

  it('leaves the own datacenter and strangers alone', () => {
    const links = new DialledLinks({ datacenter: 'a', ports, links: new LinkTable(topology).rows() })
    for (const address of ['/ip4/127.0.0.1/tcp/8300', '/ip4/127.0.0.1/tcp/9999', '/ip4/127.0.0.1/udp/8320', '']) {
      expect(links.to(address)).toEqual({ rttMs: 0, cut: false })
    }
  })
})
