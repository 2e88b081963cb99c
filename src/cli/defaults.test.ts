import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { withFreePorts } from './defaults.ts'

let holder: Server
let taken: number
beforeEach(async () => {
  holder = createServer().listen({ host: '127.0.0.1', port: 0, exclusive: true })
  await once(holder, 'listening')
  taken = (holder.address() as AddressInfo).port
})
afterEach(() => new Promise<void>((resolve) => holder.close(() => resolve())))

it('takes a free port where the default one is taken, and says so', async () => {
  const notes: string[] = []
  const ports = [
    { part: 'http', port: taken, what: 'HTTP' },
    { part: 'federation', port: 0, what: 'libp2p' },
  ]
  const given = { http: { host: '127.0.0.1' }, dev: true }
  expect(await withFreePorts(given, (line) => notes.push(line), ports)).toEqual({
    dev: true,
    http: { host: '127.0.0.1', port: 0 },
  })
  expect(notes).toEqual([`HTTP port ${taken} is taken by another process: taking a free one`])
})

it('sees a port that is taken by UDP alone', async () => {
  const socket = createSocket('udp4').bind({ address: '127.0.0.1', port: 0, exclusive: true })
  await once(socket, 'listening')
  const { port } = socket.address()
  const ports = [{ part: 'dns', port, what: 'DNS', udp: true }]
  expect(await withFreePorts({}, () => {}, ports)).toEqual({ dns: { port: 0 } })
  await new Promise<void>((resolve) => socket.close(() => resolve()))
  expect(await withFreePorts({}, () => {}, ports)).toEqual({})
})

it('leaves alone what was given', async () => {
  const notes: string[] = []
  const given = { http: { port: taken } }
  const ports = [{ part: 'http', port: taken, what: 'HTTP' }]
  expect(await withFreePorts(given, (line) => notes.push(line), ports)).toEqual(given)
  expect(notes).toEqual([])
})
