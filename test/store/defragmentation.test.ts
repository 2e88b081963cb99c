/** Members of a real etcd whose files are mostly free are rewritten one after the other, while writes go on. */
import { setTimeout as sleep } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLogger } from '../../src/runtime/logger.ts'
import type { Logger } from '../../src/runtime/ports.ts'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { connect } from '../../src/store/etcd/connect.ts'
import { statusOf } from '../../src/store/etcd/member-file.ts'
import { CompactionRequestSchema, KV, PutRequestSchema } from '../../src/store/etcd/proto/etcd_pb.js'
import { Defragmentation } from '../../src/store/managed/defragmentation.ts'
import { listMembers } from '../../src/store/managed/membership.ts'
import { eventually } from '../cluster/harness.ts'
import { type EtcdCluster, findEtcd, startEtcd, WITHOUT_ETCD } from '../support/etcd.ts'
import { onNode } from '../support/on-node.ts'

const { clock, random } = await currentRuntime()
const skipped = !onNode ? 'once, on Node' : findEtcd() ? undefined : WITHOUT_ETCD
const MB = 1024 * 1024

describe.skipIf(skipped !== undefined)(`files of etcd${skipped ? ` (${skipped})` : ''}`, () => {
  let etcd: EtcdCluster
  beforeAll(async () => {
    etcd = await startEtcd(3)
  }, 60_000)
  afterAll(() => etcd?.destroy())

  test('that are mostly free become small, one at a time, and nothing is refused meanwhile', {
    timeout: 60_000,
  }, async () => {
    const options = { members: etcd.addresses, prefix: '', owner: '', clock, random, logger: silentLogger }
    const cluster = connect(options)
    const put = (value: Uint8Array): Promise<{ header?: { revision: bigint } | undefined }> =>
      cluster.ask(KV.method.put, create(PutRequestSchema, { key: Uint8Array.of(97), value }), 'a write')
    const sizes = (): Promise<number[]> =>
      Promise.all(cluster.members.map(async (_, i) => Number((await statusOf(cluster, i)).dbSize)))
    let revision = 0n
    for (let i = 0; i < 24; i++) revision = (await put(new Uint8Array(MB))).header!.revision
    await cluster.ask(KV.method.compact, create(CompactionRequestSchema, { revision, physical: true }), 'a compaction')
    expect(Math.min(...(await sizes()))).toBeGreaterThan(20 * MB)

    const over = new AbortController()
    let writes = 0
    const writing = (async () => {
      // It frees the pages of what was compacted, too.
      for (; !over.signal.aborted; writes++) {
        await put(Uint8Array.of(1))
        await sleep(5)
      }
    })()
    const rewritten: unknown[] = []
    const logger: Logger = { ...silentLogger, info: ({ member }) => rewritten.push(member), child: () => logger }
    // As each of the servers does, of which one leads.
    const upkeep = (await listMembers(cluster)).map(
      ({ id: own }) => new Defragmentation({ cluster, own, clock, random, logger, everyMs: 200, leastBytes: 8 * MB }),
    )
    try {
      await eventually('all files are small', async () => Math.max(...(await sizes())) < 8 * MB, 30_000)
      await eventually('writes went on', async () => writes > 20, 10_000)
    } finally {
      for (const each of upkeep) each.close()
      over.abort()
      await writing
      cluster.close()
    }
    expect(rewritten.toSorted()).toEqual(['m1', 'm2', 'm3'])
    // None was refused, or `writing` had rejected.
    expect(writes).toBeGreaterThan(20)
  })
})
