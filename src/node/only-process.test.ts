import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../runtime/virtual.ts'
import { OnlyProcess } from './only-process.ts'

describe('one process for a key', () => {
  it('does not start, or ends, when it is refused', () => {
    const early = new OnlyProcess(new VirtualClock())
    early.refused('x')
    expect(() => early.assert(() => {})).toThrow(expect.objectContaining({ code: 'conflict', field: 'identity.key' }))
    const only = new OnlyProcess(new VirtualClock())
    const refusals: string[] = []
    only.assert(({ message }) => refusals.push(message))
    only.refused('y')
    only.refused('z')
    expect(refusals).toEqual(['y'])
  })

  it('goes on when it has run for long', async () => {
    const clock = new VirtualClock()
    const only = new OnlyProcess(clock)
    const refusals: string[] = []
    only.assert(({ message }) => refusals.push(message))
    await clock.advance(60_000)
    only.refused('x')
    expect(refusals).toEqual([])
  })
})
