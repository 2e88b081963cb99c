import { expect, it } from 'vitest'
import type { Answer } from './answer.ts'
import { ClientError } from './error.ts'
import { type Blocking, nextIndex, watch } from './watch.ts'

const answer = (index: number, value = `at ${index}`): Answer<string> => ({
  value,
  meta: {
    index,
    datacenter: undefined,
    source: undefined,
    ageMs: undefined,
    failover: undefined,
    consistency: undefined,
    knownLeader: undefined,
    lastContactMs: undefined,
  },
})

/** Answers from a script; the watch ends when it is used up. */
async function follow(script: (Answer<string> | ClientError)[], options = {}) {
  const stop = new AbortController()
  const asked: number[] = []
  const seen: string[] = []
  const read = async ({ index }: Blocking) => {
    asked.push(index)
    const next = script.shift()
    if (!next) {
      stop.abort()
      throw new ClientError('aborted', 'over')
    }
    if (next instanceof ClientError) throw next
    return next
  }
  for await (const { value } of watch(read, { signal: stop.signal, minBackoffMs: 1, maxBackoffMs: 2, ...options }))
    seen.push(value)
  return { asked, seen }
}

it('asks with the last index and gives what changed', async () => {
  const { asked, seen } = await follow([answer(5), answer(5), answer(9)])
  expect(asked).toEqual([0, 5, 5, 9])
  expect(seen).toEqual(['at 5', 'at 9'])
})

it('starts over when the index goes back', async () => {
  const { asked, seen } = await follow([answer(50), answer(3, 'new history'), answer(3), answer(4)])
  expect(asked).toEqual([0, 50, 0, 3, 4])
  expect(seen).toEqual(['at 50', 'new history', 'at 4'])
})

it('does not ask without an index for ever', () => {
  expect(nextIndex(0, 0)).toBe(1)
  expect(nextIndex(1, 0)).toBe(1)
  expect(nextIndex(7, 6)).toBe(0)
})

it('waits failures out, and tells of them', async () => {
  const told: string[] = []
  const { seen } = await follow(
    [answer(5), new ClientError('unreachable', 'gone'), new ClientError('internal', 'odd'), answer(6)],
    { onError: (error: ClientError) => told.push(error.code) },
  )
  expect(seen).toEqual(['at 5', 'at 6'])
  expect(told).toEqual(['unreachable', 'internal'])
})

it('throws what lasts', async () => {
  await expect(follow([new ClientError('forbidden', 'no')])).rejects.toMatchObject({ code: 'forbidden' })
})

it('ends with its signal while it waits', async () => {
  const stop = new AbortController()
  const read = (): Promise<Answer<string>> => Promise.reject(new ClientError('unreachable', 'gone'))
  const options = { signal: stop.signal, minBackoffMs: 60_000, onError: () => stop.abort() }
  for await (const _ of watch(read, options)) expect.unreachable()
})
