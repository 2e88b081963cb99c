import { describe, expect, it } from 'vitest'
import type { LauncherStatus } from './control.ts'
import type { NodeSnapshot } from './local-mesh.ts'
import { progressOf } from './observe.ts'
import { joinCommand, nodeTable, roundTripTable, serviceTable, suggestionLines, suggestions } from './report.ts'
import { styleFor, table } from './terminal.ts'

const plain = styleFor({ isTTY: false })
const node = (datacenter: string, role: string, port: number): NodeSnapshot => ({
  name: `${datacenter}-${role}`,
  datacenter,
  role,
  runtime: 'node 24.0.0',
  state: 'ready',
  pid: 1,
  readyMs: 900,
  http: `http://127.0.0.1:${port}`,
  libp2p: `/ip4/127.0.0.1/tcp/${port - 200}/p2p/12D3KooW`,
  dns: port + 100,
  logFile: '/logs',
})
const status: LauncherStatus = {
  name: 'two',
  mesh: 'atoll',
  pid: 1,
  stateDirectory: '/state',
  phase: 'running',
  nodes: [node('a', 'server', 8500), node('b', 'server', 8510)],
  links: [{ between: ['a', 'b'], rttMs: 80, cut: false }],
  services: [{ datacenter: 'a', service: 'web', ports: [9000, 9001], running: true }],
}
const seen = { roundTrips: { a: { b: 80.44 }, b: { a: 160 } }, passing: { web: { a: 1, b: 0 } } }

describe('tables', () => {
  it('shows nodes, and their state only when one is not ready', () => {
    expect(nodeTable(status, plain)).toEqual([
      'NODE       DC   ROLE     RUNTIME       HTTP                    DNS    LIBP2P',
      'a-server   a    server   node 24.0.0   http://localhost:8500   8600   /ip4/127.0.0.1/tcp/8300',
      'b-server   b    server   node 24.0.0   http://localhost:8510   8610   /ip4/127.0.0.1/tcp/8310',
    ])
    const killed = { ...status, nodes: [status.nodes[0]!, { ...status.nodes[1]!, state: 'killed' as const }] }
    expect(nodeTable(killed, plain)[2]).toMatch(/killed$/)
  })

  it('shows what is measured, what is cut, and what is far from what is set', () => {
    const rows = roundTripTable(status, seen, plain)
    expect(rows[1]).toMatch(/^a +- +80\.4$/)
    expect(rows[2]).toMatch(/^b +160\.0 \(set: 80\) +-$/)
    const cut = { ...status, links: [{ ...status.links[0]!, cut: true }] }
    expect(roundTripTable(cut, seen, plain)[1]).toMatch(/cut$/)
    expect(roundTripTable(status, { roundTrips: {}, passing: {} }, plain)[1]).toMatch(/\?$/)
  })

  it('counts what passes', () => {
    expect(serviceTable(status, seen, plain)[1]).toMatch(/^web +1 of 2 +-$/)
    expect(progressOf(status, seen)).toEqual({
      links: 2,
      allLinks: 2,
      settled: 1,
      passing: 1,
      instances: 2,
    })
  })

  it('pads columns by what is seen, not by escape sequences', () => {
    expect(
      table([
        ['\u001b[1mab\u001b[22m', 'x'],
        ['abcd', 'y'],
      ]),
    ).toEqual(['\u001b[1mab\u001b[22m     x', 'abcd   y'])
  })
})

it('suggests commands of this very mesh', () => {
  const commands = suggestions(status).map((each) => each.command)
  expect(commands).toContain("curl -i 'localhost:8500/v1/health/service/web?dc=b&passing'")
  expect(commands).toContain('npm run topology -- cut a b')
  expect(suggestionLines(suggestions(status), plain, 200)).toHaveLength(commands.length)
  expect(suggestionLines(suggestions(status), plain, 60)).toHaveLength(2 * commands.length)
  expect(joinCommand(status)).toBe('npx atoll agent --server --dc sa-1 --join /ip4/127.0.0.1/tcp/8300')
  expect(joinCommand({ ...status, mesh: 'trial' })).toContain('--mesh trial')
})
