import { afterEach, describe, expect, it } from 'vitest'
import { FUZZED, fuzz, mutate } from '../../../test/support/fuzz.ts'
import { openTestHost, orderedIdentities, trapUncaught, until } from '../../../test/support/hosts.ts'
import { systemClock } from '../../runtime/clock.ts'
import { silentLogger } from '../../runtime/logger.ts'
import type { Logger } from '../../runtime/ports.ts'
import { systemRandom } from '../../runtime/random.ts'
import { SeededRandom } from '../../runtime/virtual.ts'
import type { Federation } from '../federation.ts'
import { openFederation } from '../open.ts'
import { MemorySink, MemorySource } from '../testing/memory-source.ts'

const open: Federation[] = []
/** Messages that gossip brought and nobody could read. */
let refused = 0
const logger: Logger = {
  ...silentLogger,
  debug: (_fields, message) => {
    if (message === 'gossip was refused') refused++
  },
  child: () => logger,
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((federation) => federation.close()))
})

async function start(
  datacenter: string,
  join: readonly string[],
  identity?: Awaited<ReturnType<typeof orderedIdentities>>[number],
) {
  const host = await openTestHost({ name: datacenter, datacenter, ...(identity && { identity }) })
  const source = new MemorySource()
  source.write({ web: datacenter })
  const common = { clock: systemClock, random: systemRandom, logger }
  const federation = await openFederation({
    host,
    source,
    ...common,
    sinkFor: () => new MemorySink(),
    joinAddresses: join,
  })
  open.push(federation)
  return { host, federation }
}

describe('changed bytes, seeded', () => {
  // More of them, and of memory: test/bench/fuzz.ts.
  it.each(FUZZED)(
    'break nothing for anybody: %s',
    async (what) => {
      const uncaught = trapUncaught()
      const [small, large] = await orderedIdentities(2)
      const { host, federation } = await start('eu-1', [], large)
      const friend = await start('us-1', [host.addresses[0]!])
      await until(() => friend.federation.remote('eu-1')?.fit && federation.remote('us-1')?.fit)
      // What is sent just before a connection ends may stay unread: more seeds, until something was read and refused.
      const enough = (): boolean => what !== 'gossip' || refused > 0
      for (let seed = 1; seed <= 2 || (!enough() && seed <= 20); seed++) {
        await fuzz(what, { address: host.addresses[0]!, identity: small!, random: new SeededRandom(seed), rounds: 25 })
      }
      await until(enough)
      expect(host.peer(friend.host.self.peerId)).toBeDefined()
      expect(friend.federation.remote('eu-1')!.state).toBe('live')
      await until(() => host.peers().length === 1)
      uncaught.release()
      expect(uncaught.errors).toEqual([])
    },
    60_000,
  )

  it('are the same for the same seed', () => {
    const bytes = new Uint8Array(100).map((_, i) => i)
    const all = (seed: number): string[] => {
      const random = new SeededRandom(seed)
      return Array.from({ length: 50 }, () => Buffer.from(mutate(bytes, random)).toString('hex'))
    }
    expect(all(3)).toEqual(all(3))
    expect(all(3)).not.toEqual(all(4))
    expect(new Set(all(3)).size).toBeGreaterThan(30)
  })
})
