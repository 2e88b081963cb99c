/** The etcd store while members die, hang and come back: nothing lost, nothing twice, and away for seconds at most. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { openEtcd } from '../../src/store/etcd/etcd.ts'
import type { Store } from '../../src/store/store.ts'
import { Recorder } from '../compliance/store-support.ts'
import { startCutProxy } from '../support/cut-proxy.ts'
import { type EtcdCluster, type EtcdMember, findEtcd, startEtcd, WITHOUT_ETCD } from '../support/etcd.ts'
import { onNode } from '../support/on-node.ts'
import { Workload } from './etcd-workload.ts'

const { clock, random } = await currentRuntime()
const skipped = !onNode ? 'once, on Node' : findEtcd() ? undefined : WITHOUT_ETCD

describe.skipIf(skipped !== undefined)(`etcd under faults${skipped ? ` (${skipped})` : ''}`, () => {
  let etcd: EtcdCluster
  let store: Store
  let workload: Workload
  let prefixes = 0

  beforeAll(async () => {
    etcd = await startEtcd(3)
  })
  afterAll(() => etcd?.destroy())

  async function begin(): Promise<void> {
    store = await openEtcd({ members: etcd.addresses, prefix: `f/${++prefixes}/`, owner: 'eu-1', clock, random })
    workload = new Workload({ store, writers: 10, nowMs: () => performance.now() })
    await workload.start()
    await progress(50)
    workload.takeOutage()
  }

  /** So many transactions more come through. */
  async function progress(count: number): Promise<void> {
    for (const goal = workload.acknowledged + count; workload.acknowledged < goal; ) await sleep(10)
  }

  async function finish(): Promise<void> {
    expect(await workload.check()).toEqual([])
    await store.close()
  }

  const leader = async (): Promise<EtcdMember> => {
    for (;;) {
      const found = await etcd.leader()
      if (found) return found
      await sleep(50)
    }
  }

  test('a leader that is killed', async () => {
    await begin()
    const killed = await leader()
    await killed.kill()
    await progress(50)
    expect(workload.takeOutage().longestMs).toBeLessThan(8_000)
    await killed.start()
    await progress(50)
    await finish()
  })

  test('a leader that stands still and goes on', async () => {
    await begin()
    const stopped = await leader()
    stopped.signal('SIGSTOP')
    await progress(50)
    expect(workload.takeOutage().longestMs).toBeLessThan(8_000)
    stopped.signal('SIGCONT')
    await progress(100)
    await finish()
  })

  test('all members at once', async () => {
    await begin()
    await Promise.all(etcd.members.map((member) => member.kill()))
    await Promise.all(etcd.members.map((member) => member.start()))
    await progress(50)
    await finish()
  })

  test('no majority: refused within 5 s, and nothing of it is done later', async () => {
    await begin()
    const down = etcd.members.slice(1)
    await Promise.all(down.map((member) => member.kill()))
    // Whatever was under way has an end, known or not.
    await sleep(1_500)
    const refusedMs = async (asked: Promise<unknown>): Promise<number> => {
      const startMs = performance.now()
      const refusal = { code: 'unavailable', message: expect.stringContaining('no majority') }
      await expect(asked).rejects.toMatchObject(refusal)
      return performance.now() - startMs
    }
    const late = store.txn({ then: [{ put: 'late', value: new Uint8Array(1) }] })
    const tookMs = await Promise.all([refusedMs(late), refusedMs(store.barrier() as Promise<number>)])
    expect(Math.max(...tookMs)).toBeLessThan(5_000)
    await Promise.all(down.map((member) => member.start()))
    await progress(50)
    expect((await store.range('late', 'late\0')).kvs).toEqual([])
    await finish()
  })

  test('a watch that is stalled while it catches up, and overtaken by compaction: a prefix without a gap, and then it is told', async () => {
    const member = etcd.members[0]!
    const link = await startCutProxy(Number(member.address.split(':')[1]))
    const options = { prefix: `f/${++prefixes}/`, owner: 'eu-1', clock, random }
    const writer = await openEtcd({ ...options, members: etcd.addresses })
    const reader = await openEtcd({ ...options, members: [`127.0.0.1:${link.port}`] })
    try {
      const since = writer.status().revision
      const value = new Uint8Array(8_000)
      const write = async (count: number): Promise<number[]> => {
        const revisions: number[] = []
        // To one key: what writes the same goes alone, each at a revision of its own. etcd sends a thousand at once.
        for (let i = 0; i < count; i += 200) {
          const some = Array.from({ length: 200 }, () => writer.txn({ then: [{ put: 'k', value }] }))
          for (const { revision } of await Promise.all(some)) revisions.push(revision)
        }
        return revisions.sort((a, b) => a - b)
      }
      const written = await write(2_000)
      const recorder = new Recorder()
      let stalled = false
      // Stalled within the first events that come: most of the history is still to be sent.
      reader.watch('', '', since, {
        onRevisions(batch) {
          if (!stalled) link.cut()
          stalled = true
          recorder.onRevisions(batch)
        },
        onCompacted: (oldest) => recorder.onCompacted(oldest),
        onEnd: (error) => recorder.onEnd(error),
      })
      while (!stalled) await sleep(5)
      written.push(...(await write(200)))
      const compactedAt = written.at(-1)!
      await writer.compact(compactedAt)
      link.heal()
      await recorder.until(({ compacted, last }) => compacted !== undefined || last === compactedAt)
      const seen = recorder.revisions.map(({ revision }) => revision)
      expect(seen).toEqual(written.slice(0, seen.length))
      expect([seen.length < written.length, recorder.compacted]).toEqual([true, compactedAt + 1])
      // It starts over from what there is, as it is told to.
      const { kvs, revision } = await reader.range('', '')
      expect(kvs).toHaveLength(1)
      const again = new Recorder()
      reader.watch('', '', revision, again)
      const { revision: next } = await writer.txn({ then: [{ put: 'end', value }] })
      await again.reaches(next)
      expect(again.compacted).toBeUndefined()
    } finally {
      link.heal()
      await Promise.all([reader.close(), writer.close()])
      await link.close()
    }
  })
})
