/**
 * A process that writes to a store and says on its standard output what became of it. Arguments: mode, directory, then
 *   many <round> <writers>: writers that never stop; "ack <key> <revision>" for each acknowledged write
 *   sequence <count>: one write after the other, "request <n>" before and "ack <n>" after each; then "done"
 *   until-failure: as sequence, until a write fails: "failed <code>", "then <code of the next write>", "status <failure>"
 *   open: opens and closes: "opened", or "refused <code> <message>"
 */
import { writeSync } from 'node:fs'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { openEmbedded } from '../../src/store/embedded/embedded.ts'
import type { Store, StoreError } from '../../src/store/store.ts'

const [mode, path, ...rest] = process.argv.slice(2) as [string, string, ...string[]]
const { clock, random } = await currentRuntime()
/** At once, in one system call: what was said is said. */
const say = (line: string): void => void writeSync(1, `${line}\n`)
const codeOf = (error: unknown): string => (error as StoreError).code

process.stdin.on('end', () => process.exit(0))
process.stdin.resume()

async function many(store: Store, round: string, writers: number): Promise<void> {
  const write = async (writer: number): Promise<void> => {
    for (let n = 0; ; n++) {
      const key = `r${round}/${writer}/${n}`
      const { revision } = await store.txn({ then: [{ put: key, value: random.bytes(100) }] })
      // Queues up where the reader is slow; what is queued counts as not said.
      process.stdout.write(`ack ${key} ${revision}\n`)
    }
  }
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)))
}

const put = (store: Store, n: number): Promise<unknown> =>
  store.txn({ then: [{ put: `k${n}`, value: new Uint8Array(100) }] })

async function sequence(store: Store, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    say(`request ${n}`)
    await put(store, n)
    say(`ack ${n}`)
  }
}

async function untilFailure(store: Store): Promise<void> {
  try {
    await sequence(store, 10_000)
  } catch (error) {
    say(`failed ${codeOf(error)}`)
    await put(store, -1).catch((next: unknown) => say(`then ${codeOf(next)}`))
    say(`status ${store.status().failure}`)
  }
}

try {
  const store = await openEmbedded({ path, clock, random })
  say('opened')
  if (mode === 'many') await many(store, rest[0]!, Number(rest[1]))
  else if (mode === 'sequence') await sequence(store, Number(rest[0]))
  else if (mode === 'until-failure') await untilFailure(store)
  await store.close()
  say('done')
} catch (error) {
  say(`refused ${codeOf(error)} ${(error as Error).message}`)
}
process.exit(0)
