/** Whether something takes datagrams at a port: an answer, silence, or the network's word that nothing does. */
import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { AtollError } from '../model/errors.ts'
import { systemClock } from './clock.ts'
import type { UdpProbe } from './probes.ts'

export const udpProbe: UdpProbe = async ({ host, port, waitMs, signal }) => {
  signal.throwIfAborted()
  const { address, family } = await lookup(host)
  // Deno's connected sockets are not told of a refusal; what listens on this machine can be read.
  if (process.versions.deno !== undefined) return await listed(address, port)
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
  return await new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      timer.cancel()
      signal.removeEventListener('abort', onAbort)
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.close(finish)
    }
    const onAbort = (): void => settle(() => reject(signal.reason))
    const timer = systemClock.after(waitMs, () => settle(() => resolve('silent')))
    signal.addEventListener('abort', onAbort, { once: true })
    socket.on('message', () => settle(() => resolve('answered')))
    socket.on('error', (error: NodeJS.ErrnoException) =>
      settle(() => (error.code === 'ECONNREFUSED' ? resolve('refused') : reject(error))),
    )
    // Connected, so that the system tells of a refusal.
    socket.connect(port, address, () => socket.send(new Uint8Array(0)))
  })
}

async function listed(address: string, port: number): Promise<'silent' | 'refused'> {
  const own = Object.values(networkInterfaces()).some((all) => all?.some((one) => one.address === address))
  const tables = own || /^127\./.test(address) ? await socketTables() : undefined
  if (tables === undefined) {
    throw new AtollError(
      'unsupported',
      `on Deno, UDP ports can be checked on this machine and on Linux only; run this node on Node or Bun to check ${address}`,
    )
  }
  const wanted = port.toString(16).toUpperCase().padStart(4, '0')
  return tables.some((line) => line.trim().split(/\s+/)[1]?.endsWith(`:${wanted}`)) ? 'silent' : 'refused'
}

async function socketTables(): Promise<string[] | undefined> {
  const read = (path: string) => readFile(path, 'utf8').catch(() => undefined)
  const [four, six] = await Promise.all([read('/proc/net/udp'), read('/proc/net/udp6')])
  if (four === undefined && six === undefined) return undefined
  return `${four ?? ''}\n${six ?? ''}`.split('\n')
}
