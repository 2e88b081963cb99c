/**
 * What an agent takes where nothing was said, so that `atoll agent --server --dc sa-1 --join ...` works on a machine
 * that already runs nodes. What was said, in a flag, the environment or the file, is never replaced.
 */
import { createSocket } from 'node:dgram'
import { createServer, isIPv6 } from 'node:net'
import { resolve } from 'node:path'

type Tree = { readonly [key: string]: unknown }

/** The ports of the configuration's schema, and which part of it they are in. */
const PORTS = [
  { part: 'http', port: 8500, what: 'HTTP' },
  { part: 'dns', port: 8600, what: 'DNS', udp: true },
  { part: 'federation', port: 8300, what: 'libp2p' },
] as const

/** A folder of its own for each datacenter, below where it is started. */
export const defaultDataDirectory = (datacenter: string): string => resolve('.atoll', datacenter)

/** `input`, with a free port in place of each default one that is taken; each such change is told to `note`. */
export async function withFreePorts(
  input: Tree,
  note: (line: string) => void,
  ports: readonly {
    readonly part: string
    readonly port: number
    readonly what: string
    readonly udp?: boolean
  }[] = PORTS,
): Promise<Tree> {
  const changed: Record<string, unknown> = { ...input }
  for (const { part, port, what, udp } of ports) {
    const section = (input[part] ?? {}) as Tree
    if (section.port !== undefined) continue
    const host = typeof section.host === 'string' ? section.host : '127.0.0.1'
    if (!(await isTaken(host, port)) && !(udp && (await isTakenByUdp(host, port)))) continue
    note(`${what} port ${port} is taken by another process: taking a free one`)
    changed[part] = { ...section, port: 0 }
  }
  return changed
}

/** Only when that is certain; every other problem is for the node to report. */
function isTaken(host: string, port: number): Promise<boolean> {
  const server = createServer()
  const { promise, resolve: settle } = Promise.withResolvers<boolean>()
  server.once('error', (error: NodeJS.ErrnoException) => settle(error.code === 'EADDRINUSE'))
  server.listen({ host, port, exclusive: true }, () => server.close(() => settle(false)))
  return promise
}

function isTakenByUdp(host: string, port: number): Promise<boolean> {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  const { promise, resolve: settle } = Promise.withResolvers<boolean>()
  socket.once('error', (error: NodeJS.ErrnoException) => {
    socket.close()
    settle(error.code === 'EADDRINUSE')
  })
  socket.bind({ address: host, port, exclusive: true }, () => socket.close(() => settle(false)))
  return promise
}
