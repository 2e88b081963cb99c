import type { Uint8ArrayList } from 'uint8arraylist'
import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../../runtime/virtual.ts'
import { inSlices, type Receiving } from './slices.ts'

class Connection implements Receiving {
  readStatus: Receiving['readStatus'] = 'readable'
  readonly log: string[] = []
  readonly taken: number[] = []
  onData(data: Uint8Array | Uint8ArrayList): void {
    this.log.push(`${data.byteLength}`)
    this.taken.push(...data.subarray())
  }
  onTransportClosed(): void {
    this.log.push('closed')
  }
  onRemoteReset(): void {
    this.log.push('reset')
  }
  sendPause(): void {
    this.log.push('pause')
  }
  sendResume(): void {
    this.log.push('resume')
  }
}

const KB = 1024
/** Bytes that tell where they belong. */
const bytes = (size: number, from = 0): Uint8Array => new Uint8Array(size).map((_, i) => (from + i) % 251)

function setUp() {
  const clock = new VirtualClock()
  const connection = new Connection()
  inSlices(connection, clock)
  return { clock, connection }
}

describe('what arrives', () => {
  it('is taken at once when it is little', () => {
    const { clock, connection } = setUp()
    connection.onData(bytes(64 * KB))
    expect(connection.log).toEqual(['65536'])
    expect(clock.pendingTimers).toBe(0)
  })

  it('is taken slice by slice when it is much, in order, and what comes meanwhile behind it', async () => {
    const { clock, connection } = setUp()
    connection.onData(bytes(100 * KB))
    expect(connection.log).toEqual([])
    // Others have their turn in between.
    clock.after(0, () => {
      connection.log.push('other')
      connection.onData(bytes(10, 100 * KB))
    })
    await clock.advance(0)
    expect(connection.log).toEqual(['65536', 'other', '36864', '10'])
    expect(Uint8Array.from(connection.taken)).toEqual(bytes(100 * KB + 10))
    connection.onData(bytes(1))
    expect(connection.log.at(-1)).toBe('1')
    expect(clock.pendingTimers).toBe(0)
  })

  it.each([
    ['onTransportClosed', 'closed'],
    ['onRemoteReset', 'reset'],
  ] as const)('is taken before the end (%s)', async (end, told) => {
    const { clock, connection } = setUp()
    connection.onData(bytes(100 * KB))
    connection[end]()
    expect(connection.log).toEqual(['65536', '36864', told])
    await clock.advance(10)
    expect(connection.log).toHaveLength(3)
    expect(clock.pendingTimers).toBe(0)
  })

  it('is not read on while there is much, unless somebody else paused it', async () => {
    const { clock, connection } = setUp()
    connection.onData(bytes(600 * KB))
    expect(connection.log).toEqual(['pause'])
    await clock.advance(20)
    expect(connection.log.at(-1)).toBe('resume')
    connection.onData(bytes(600 * KB))
    connection.readStatus = 'paused'
    connection.log.length = 0
    await clock.advance(20)
    expect(connection.log).not.toContain('resume')
  })
})
