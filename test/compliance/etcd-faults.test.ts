/**
 * The contract while etcd fails underneath: its leader is killed, stopped and continued, all members are restarted, and others write to
 * the same etcd all the time. `patient.ts` says what is tried again. Here a part of the suite, once; the whole of it, again and again,
 * by `node test/compliance/under-faults.ts`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { connect } from '../../src/store/etcd/connect.ts'
import { openEtcd } from '../../src/store/etcd/etcd.ts'
import { KV, PutRequestSchema } from '../../src/store/etcd/proto/etcd_pb.js'
import { type EtcdCluster, type EtcdMember, findEtcd, startEtcd, WITHOUT_ETCD } from '../support/etcd.ts'
import { onNode } from '../support/on-node.ts'
import { patient, patiently, UNKNOWN } from './patient.ts'
import { type OpenStore, storeCompliance } from './store.ts'
import { lifeCompliance } from './store-life.ts'
import { propertyCompliance } from './store-properties.ts'

const { clock, random } = await currentRuntime()
const whole = process.env.ATOLL_WHOLE_SUITE !== undefined
const skipped = !onNode ? 'once, on Node' : findEtcd() ? undefined : WITHOUT_ETCD
const CALM_MS = 1_000
const STOPPED_MS = 2_000
const FOREIGN_EVERY_MS = 5

describe.skipIf(skipped !== undefined)(
  `etcd under faults${skipped ? ` (${skipped})` : ''}`,
  { retry: UNKNOWN, timeout: 90_000 },
  () => {
    let etcd: EtcdCluster
    let stores = 0
    const over = new AbortController()
    let running: Promise<unknown>
    const done: Record<string, number> = {}

    beforeAll(async () => {
      etcd = await startEtcd(3)
      running = Promise.all([disturb(), writeAsOthers()])
    }, 60_000)
    afterAll(async () => {
      over.abort()
      await running
      await etcd?.destroy()
    }, 60_000)

    async function leader(): Promise<EtcdMember> {
      for (;;) {
        const found = await etcd.leader()
        if (found) return found
        await sleep(50)
      }
    }

    const faults: Record<string, () => Promise<void>> = {
      async 'leader killed'() {
        const member = await leader()
        await member.kill()
        await sleep(STOPPED_MS)
        await member.start()
      },
      async 'leader stopped and continued'() {
        const member = await leader()
        member.signal('SIGSTOP')
        await sleep(STOPPED_MS)
        member.signal('SIGCONT')
      },
      async 'all members restarted'() {
        await Promise.all(etcd.members.map((member) => member.kill()))
        await Promise.all(etcd.members.map((member) => member.start()))
      },
    }

    async function disturb(): Promise<void> {
      for (let i = 0; !over.signal.aborted; i++) {
        const [name, fault] = Object.entries(faults)[i % 3]!
        await fault()
        done[name] = (done[name] ?? 0) + 1
        await sleep(CALM_MS)
      }
    }

    async function writeAsOthers(): Promise<void> {
      const others = connect({ members: etcd.addresses, prefix: 'others/', owner: '', clock, random })
      const key = new TextEncoder().encode('others/key')
      for (; !over.signal.aborted; await sleep(FOREIGN_EVERY_MS)) {
        await others.call(KV.method.put, create(PutRequestSchema, { key, value: key })).then(
          () => {
            done['foreign writes'] = (done['foreign writes'] ?? 0) + 1
          },
          () => {},
        )
      }
      others.close()
    }

    async function open(): Promise<OpenStore> {
      const options = { members: etcd.addresses, prefix: `atoll/${++stores}/`, owner: 'eu-1', clock, random }
      let current = await patiently(() => openEtcd(options))
      return {
        store: patient(current),
        async reopen() {
          await current.close()
          current = await patiently(() => openEtcd(options))
          return patient(current)
        },
        destroy: () => current.close(),
      }
    }

    if (whole) storeCompliance('the whole suite', open)
    else {
      lifeCompliance(open)
      propertyCompliance(open)
    }

    test('all of it was disturbed', async () => {
      // Each of them once, however quick the suite was.
      while (Object.keys(done).length < 4) await sleep(100)
      expect(Object.keys(done).sort()).toEqual(['foreign writes', ...Object.keys(faults)].sort())
      if (whole) console.error(JSON.stringify(done))
    })
  },
)
