import { describe, expect, it } from 'vitest'
import type { Companion, Companions } from '../../runtime/ports.ts'
import { VirtualClock } from '../../runtime/virtual.ts'
import { silent } from '../etcd/connect.ts'
import { parsedLine, Supervisor } from './supervisor.ts'

/** Programs that end when they are told to. */
class Started implements Companions {
  readonly ends: ((how: string) => void)[] = []
  stops = 0
  start(): Companion {
    const { promise, resolve } = Promise.withResolvers<string>()
    this.ends.push(resolve)
    return {
      ended: promise,
      stop: async () => {
        this.stops++
        resolve('signal SIGTERM')
      },
    }
  }
  reservePort = async (_: string, port: number) => ({ port, release: async () => {} })
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('the supervisor of a member', () => {
  it('starts it again after pauses that double, and from the first once it was steady', async () => {
    const clock = new VirtualClock()
    const companions = new Started()
    const supervisor = new Supervisor({ args: () => ['etcd'], companions, clock, logger: silent })
    const pauses: number[] = []
    for (let i = 0; i < 8; i++) {
      if (i === 7) await clock.advance(30_000)
      const before = companions.ends.length
      companions.ends.at(-1)!('exit code 1')
      await turn()
      let waitedMs = 0
      while (companions.ends.length === before) {
        await clock.advance(50)
        waitedMs += 50
        expect(waitedMs).toBeLessThan(20_000)
      }
      pauses.push(waitedMs)
    }
    expect(pauses).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 250])
    await supervisor.stop()
    expect(companions.stops).toBe(1)
  })

  it('starts nothing once it is stopped', async () => {
    const clock = new VirtualClock()
    const companions = new Started()
    const supervisor = new Supervisor({ args: () => ['etcd'], companions, clock, logger: silent })
    companions.ends[0]!('exit code 1')
    await turn()
    await supervisor.stop()
    await clock.advance(60_000)
    expect(companions.ends).toHaveLength(1)
  })

  it('tells what etcd says as an error, with its reason, and the rest for debugging', () => {
    const line = { level: 'fatal', ts: 'now', caller: 'etcd.go:1', msg: 'discovery failed', error: 'address in use' }
    expect(parsedLine(JSON.stringify(line))).toMatchObject({
      level: 'error',
      message: 'discovery failed: address in use',
    })
    expect(parsedLine('{"level":"warn","msg":"slow"}')).toMatchObject({ level: 'debug', message: 'slow' })
    expect(parsedLine('Terminated')).toEqual({ level: 'debug', message: 'Terminated', fields: {} })
  })
})
