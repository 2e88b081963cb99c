import { createServer, type Server } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { withFreePorts } from './defaults.ts'

/** Holds both default ports, unless somebody else on this machine does. */
let holders: Server[]
beforeEach(async () => {
  holders = await Promise.all(
    [8500, 8300].map(
      (port) =>
        new Promise<Server>((resolve) => {
          const server = createServer()
          server.once('error', () => resolve(server))
          server.listen({ host: '127.0.0.1', port, exclusive: true }, () => resolve(server))
        }),
    ),
  )
})
afterEach(() => Promise.all(holders.map((server) => new Promise((resolve) => server.close(resolve)))))

it('takes a free port where a default one is taken, and says so', async () => {
  const notes: string[] = []
  expect(await withFreePorts({ http: { host: '127.0.0.1' }, dev: true }, (line) => notes.push(line))).toEqual({
    dev: true,
    http: { host: '127.0.0.1', port: 0 },
    federation: { port: 0 },
  })
  expect(notes).toHaveLength(2)
  expect(notes[0]).toContain('8500')
})

it('leaves alone what was given', async () => {
  const notes: string[] = []
  const given = { http: { port: 8500 }, federation: { port: 8300 } }
  expect(await withFreePorts(given, (line) => notes.push(line))).toEqual(given)
  expect(notes).toEqual([])
})
