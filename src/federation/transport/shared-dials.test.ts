import { describe, expect, it } from 'vitest'
import type { DialAttempt } from './encrypter.ts'
import { SharedDials } from './shared-dials.ts'

/** Dials that end when the test says so, or when they are given up. */
function bench() {
  const begun: { readonly attempt: DialAttempt; end(error?: Error): void }[] = []
  const dials = new SharedDials((_address, attempt, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    signal.addEventListener('abort', () => reject(signal.reason))
    begun.push({ attempt, end: (error) => (error ? reject(error) : resolve()) })
    return promise
  })
  const signal = (): AbortSignal => new AbortController().signal
  return { dials, begun, signal }
}

describe('two dials to one address', () => {
  it('are one handshake where one of them names no peer, or both the same', async () => {
    for (const [first, second] of [
      [undefined, 'b'],
      ['b', undefined],
      ['b', 'b'],
    ] as const) {
      const { dials, begun, signal } = bench()
      const both = [dials.dial('/x', first, signal()), dials.dial('/x', second, signal())]
      expect(begun.length).toBe(1)
      begun[0]!.attempt.peerId = 'b'
      begun[0]!.end()
      const [one, other] = await Promise.all(both)
      expect(one).toEqual({ attempt: { peerId: 'b' }, error: undefined })
      expect(other).toBe(one)
    }
  })

  it('are two where they name different peers, or one after the other', async () => {
    const { dials, begun, signal } = bench()
    const both = [dials.dial('/x', 'b', signal()), dials.dial('/x', 'c', signal())]
    expect(begun.length).toBe(2)
    for (const { end } of begun) end()
    await Promise.all(both)
    void dials.dial('/x', 'b', signal())
    void dials.dial('/y', 'b', signal())
    expect(begun.length).toBe(4)
    for (const { end } of begun.slice(2)) end()
  })

  it('fail together, but not because the first was given up', async () => {
    const { dials, begun, signal } = bench()
    const refused = new Error('refused')
    const both = [dials.dial('/x', undefined, signal()), dials.dial('/x', 'b', signal())]
    begun[0]!.end(refused)
    expect((await Promise.all(both)).map(({ error }) => error)).toEqual([refused, refused])

    const first = new AbortController()
    const given = dials.dial('/x', undefined, first.signal)
    const goesOn = dials.dial('/x', 'b', signal())
    first.abort(new Error('given up'))
    await given
    await expect.poll(() => begun.length).toBe(3)
    begun[2]!.end()
    expect((await goesOn).error).toBeUndefined()
  })

  it('end for the one that is given up while the other goes on', async () => {
    const { dials, begun, signal } = bench()
    const goesOn = dials.dial('/x', undefined, signal())
    const second = new AbortController()
    const given = dials.dial('/x', 'b', second.signal)
    second.abort(new Error('given up'))
    await expect(given).rejects.toThrow('given up')
    begun[0]!.end()
    expect((await goesOn).error).toBeUndefined()
  })
})
