/** Kill -9 while many writers write: nothing acknowledged is lost, and history has no gap. */
import { expect, test } from 'vitest'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { openEmbedded } from '../../src/store/embedded/embedded.ts'
import type { Store } from '../../src/store/store.ts'
import { childCommand, start, temporaryFolder } from './support.ts'

/** test/bench/durability.ts asks for 30. */
const ROUNDS = Number(process.env.ATOLL_KILLS ?? 12)
const WRITERS = 64

const { clock, random } = await currentRuntime()

test(`${ROUNDS} kills lose nothing that was acknowledged`, { timeout: 120_000 }, async ({ task }) => {
  const path = await temporaryFolder()
  let checked = 0
  let acknowledged = 0
  for (let round = 0; round < ROUNDS; round++) {
    const acks = await writeAndKill(path, round)
    expect(acks.size).toBeGreaterThan(0)
    acknowledged += acks.size
    const store = await openEmbedded({ path, clock, random })
    try {
      const seen = await historyAfter(store, checked)
      for (const [key, revision] of acks) expect([key, seen.get(revision)]).toEqual([key, key])
      checked += seen.size
      const { kvs } = await store.range(`r${round}/`, `r${round}0`)
      const present = new Map(kvs.map(({ key, modRevision }) => [key, modRevision]))
      for (const [key, revision] of acks) expect([key, present.get(key)]).toEqual([key, revision])
    } finally {
      await store.close()
    }
  }
  expect(checked).toBeGreaterThanOrEqual(acknowledged)
  // For test/bench/durability.ts.
  Object.assign(task.meta, { kills: ROUNDS, acknowledged })
})

/** Revisions of the keys that were acknowledged before the process was killed, somewhere in the middle of its work. */
async function writeAndKill(path: string, round: number): Promise<Map<string, number>> {
  const child = start(childCommand('many', path, String(round), String(WRITERS)))
  await child.line(/^ack /)
  await clock.sleep(random.float() * 60)
  child.process.kill('SIGKILL')
  await child.exited
  expect(child.process.signalCode).toBe('SIGKILL')
  // The last line may be cut; it was not said then.
  const acks = child.lines.map((line) => /^ack (\S+) (\d+)$/.exec(line)).filter((match) => match !== null)
  return new Map(acks.map(([, key, revision]) => [key!, Number(revision)]))
}

/** Key by revision of all that was written after `since`, without a gap. */
async function historyAfter(store: Store, since: number): Promise<Map<number, string>> {
  const end = store.status().revision
  const seen = new Map<number, string>()
  await new Promise<void>((resolve, reject) => {
    const watch = store.watch('', '', since, {
      onRevisions(batch) {
        for (const { revision, events } of batch) {
          if (revision !== since + seen.size + 1) reject(new Error(`revision ${revision} after ${since + seen.size}`))
          const [event] = events
          seen.set(revision, event?.type === 'put' ? event.kv.key : '')
        }
        if (batch.at(-1)!.revision < end) return
        watch.cancel()
        resolve()
      },
      onCompacted: (oldest) => reject(new Error(`compacted to ${oldest}`)),
      onEnd: (error) => reject(error ?? new Error('ended')),
    })
  })
  return seen
}
