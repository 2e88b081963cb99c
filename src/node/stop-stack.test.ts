import { describe, expect, it } from 'vitest'
import type { Logger } from '../runtime/ports.ts'
import { VirtualClock } from '../runtime/virtual.ts'
import { StopStack } from './stop-stack.ts'

function setUp() {
  const clock = new VirtualClock()
  const warned: string[] = []
  const stopped: string[] = []
  const logger: Logger = {
    debug() {},
    info() {},
    warn: ({ part }) => void warned.push(String(part)),
    error() {},
    child: () => logger,
  }
  const stack = new StopStack(clock, logger)
  const push = (name: string): void => stack.push(name, () => void stopped.push(name))
  return { clock, warned, stopped, stack, push }
}

describe('stopping', () => {
  it('goes in reverse, once, and past what fails or hangs', async () => {
    const { clock, warned, stopped, stack, push } = setUp()
    push('a')
    stack.push('hangs', () => new Promise(() => {}))
    stack.push('fails', () => Promise.reject(new Error('no')))
    push('b')
    const done = stack.stop(100)
    expect(stack.stop()).toBe(done)
    await clock.advance(200)
    await done
    expect(stopped).toEqual(['b', 'a'])
    expect(warned).toEqual(['fails', 'hangs'])
    expect(clock.pendingTimers).toBe(0)
  })

  it('takes with it what comes up only afterwards', async () => {
    const { stopped, stack, push } = setUp()
    push('a')
    await stack.stop()
    push('late')
    await stack.stop()
    expect(stopped).toEqual(['a', 'late'])
  })
})
