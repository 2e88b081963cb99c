/**
 * Bench of sessions, locks and what goes with them, in the catalog over an embedded store on disk: `node test/bench/locks.ts`
 * (deno run -A, bun). Rates with 64 callers at once.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from '../../src/catalog/catalog.ts'
import { startDuties } from '../../src/catalog/duties/duties.ts'
import { openCatalog } from '../../src/catalog/open.ts'
import { kvLock, kvPut, kvUnlock, nodeEntry, register, sessionCreate } from '../../src/catalog/testing/entries.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { openEmbedded } from '../../src/store/embedded/embedded.ts'

const CALLERS = 64
const directory = await mkdtemp(join(tmpdir(), 'atoll-locks-'))
const common = { clock: systemClock, random: systemRandom, logger: silentLogger }
const store = await openEmbedded({ path: join(directory, 'store'), ...common })
const catalog = await openCatalog({ store, datacenter: 'eu-1', ...common })
const duties = startDuties({ store, catalog, ...common, self: { serverId: 's', address: 'h:1' } })

const show = (what: string, value: string): void => console.log(what.padEnd(52), value)

async function rate(what: string, count: number, commandOf: (i: number) => Command): Promise<void> {
  let next = 0
  const caller = async (): Promise<void> => {
    while (next < count) await catalog.execute(commandOf(next++))
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: CALLERS }, caller))
  show(what, `${Math.round((count / (performance.now() - start)) * 1000).toLocaleString('en')} /s`)
}

const ids = Array.from({ length: 5_000 }, () => systemRandom.uuid())
const bytes = new Uint8Array(16)
const set = (key: string) => ({ type: 'kv', verb: 'set', key, value: bytes, flags: 0n, index: 0, session: '' }) as const
try {
  await catalog.execute(register(nodeEntry('n1')))
  await rate('kv-put, for comparison', 20_000, (i) => kvPut(`p/${i % 1000}`, String(i)))
  await rate('session-create with a TTL', ids.length, (i) => sessionCreate(ids[i]!, { ttl: '60s', ttlMs: 60_000 }))
  await rate('session-renew', 200_000, (i) => ({ kind: 'session-renew', session: ids[i % ids.length]! }))
  await rate('kv-lock of a free key', 20_000, (i) => kvLock(`l/${i}`, ids[i % ids.length]!, 'me'))
  await rate('kv-lock of a key that another holds', 100_000, (i) =>
    kvLock(`l/${i % 20_000}`, ids[(i + 1) % ids.length]!),
  )
  await rate('kv-unlock', 20_000, (i) => kvUnlock(`l/${i}`, ids[i % ids.length]!, ''))
  await rate('txn of 10 sets', 3_000, (i) => ({
    kind: 'txn',
    operations: Array.from({ length: 10 }, (_, j) => set(`t/${i % 500}/${j}-${i}`)),
  }))
  await rate('kv-sequence under one prefix', 3_000, () => ({
    kind: 'kv-sequence',
    prefix: 'q/',
    value: bytes,
    flags: 0n,
    session: '',
  }))
  const holder = ids[0]!
  await rate('10,000 locks of one session', 10_000, (i) => kvLock(`many/${i}`, holder))
  const start = performance.now()
  await catalog.execute({ kind: 'session-destroy', session: holder })
  show('... and its end', `${Math.round(performance.now() - start)} ms`)
  await rate('session-destroy', 4_000, (i) => ({ kind: 'session-destroy', session: ids[i + 1]! }))
} finally {
  await duties.close()
  await catalog.close()
  await store.close()
  await rm(directory, { recursive: true, force: true })
}
