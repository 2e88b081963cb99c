/** `/v1/status`: the servers of a datacenter and the one that leads. */
import * as z from 'zod'
import { AtollError } from '../../model/errors.ts'
import type { Mesh } from '../../resolver/mesh.ts'
import { json } from '../answer.ts'
import { shows } from '../described.ts'
import type { Call, Route } from '../route.ts'

const parameters = { dc: "a datacenter; this node's own unless given" }

export const statusRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/status/leader',
    summary: 'host:port of the server that leads the datacenter; empty when none is known',
    answers: { 200: shows('host:port', z.string()) },
    parameters,
    async handle(call, { mesh }) {
      const elsewhere = await serversElsewhere(call, mesh)
      return json(elsewhere ? (elsewhere[0] ?? '') : mesh.leader(), call.pretty)
    },
  },
  {
    method: 'GET',
    path: '/v1/status/peers',
    summary: 'host:port of the servers of the datacenter',
    answers: { 200: shows('host:port of each', z.array(z.string())) },
    parameters,
    async handle(call, { mesh }) {
      const elsewhere = await serversElsewhere(call, mesh)
      return json(elsewhere ?? [...mesh.peers()], call.pretty)
    },
  },
]

/** Of another datacenter its gateways are known here, connected ones first: any of them takes what its leader would. */
async function serversElsewhere({ query }: Call, mesh: Mesh): Promise<string[] | undefined> {
  const name = query.get('dc')
  if (name === '' || name === mesh.datacenter) return undefined
  const { datacenters } = await mesh.status()
  const found = datacenters.find(({ datacenter }) => datacenter === name)
  if (!found || found.gateways.length === 0) {
    throw new AtollError('no-path', `No path to datacenter: "${name}" is not known here`, { field: 'dc' })
  }
  return [...found.gateways]
    .sort((a, b) => Number(b.connected) - Number(a.connected))
    .flatMap(({ addresses }) => addresses.slice(0, 1).map(hostPort))
}

/** host:port of a multiaddr like /ip4/10.0.0.1/tcp/8300/p2p/12D3... */
export function hostPort(multiaddr: string): string {
  const [, family, host = '', , port = ''] = multiaddr.split('/')
  return `${family === 'ip6' ? `[${host}]` : host}:${port}`
}
