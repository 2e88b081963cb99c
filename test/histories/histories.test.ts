/**
 * A short look at a datacenter of real processes under faults, on either store. The long one is `node test/histories/run.ts`;
 * once is enough: what differs is in the processes, not in the runtime of the test.
 */
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { findEtcd, WITHOUT_ETCD } from '../support/etcd.ts'
import { onNode } from '../support/on-node.ts'
import { type Datacenter, type StoreKind, startDatacenter } from './datacenter.ts'
import { faultsFor } from './faults.ts'
import { runRound } from './round.ts'

const SOURCES = fileURLToPath(new URL('../../', import.meta.url))
const SEED = 7

let datacenter: Datacenter | undefined
afterEach(async () => {
  await datacenter?.end()
  datacenter = undefined
})

async function looked(store: StoreKind): Promise<void> {
  datacenter = await startDatacenter(store, SOURCES)
  const round = await runRound({ datacenter, seed: SEED, ms: 10_000, faults: faultsFor(store) })
  const { kvOverlap, lockOverlap, disturbed, findings, gaveUp, resumes } = round
  console.log(
    `histories on ${store}, seed ${SEED}: ${kvOverlap.operations} operations on keys (${kvOverlap.mean.toFixed(1)} at a time), ` +
      `${lockOverlap.operations} on locks (${lockOverlap.mean.toFixed(1)}); ${disturbed.join(', ')}`,
  )
  expect(findings).toEqual([])
  expect(gaveUp).toEqual([])
  // It was looked at, and enough overlapped for it to mean something.
  expect(disturbed.length).toBeGreaterThan(0)
  expect(kvOverlap.operations).toBeGreaterThan(30)
  expect(kvOverlap.share).toBeGreaterThan(0.3)
  expect(lockOverlap.operations).toBeGreaterThan(10)
  expect(resumes).toBeGreaterThan(0)
}

describe.runIf(onNode)('histories under faults', () => {
  it('on the embedded store are linearizable, and watches keep their guarantees', () => looked('embedded'), 120_000)

  if (!findEtcd() && onNode) console.log(`histories on etcd: ${WITHOUT_ETCD}`)
  it.runIf(findEtcd())('on etcd are linearizable, and watches keep their guarantees', () => looked('etcd'), 150_000)
})
