/** Some of what `test/bench/http-fuzz.ts` sends by the million, at a node in a process of its own. */
import { expect, test } from 'vitest'
import { SeededRandom } from '../../src/runtime/virtual.ts'
import { httpFuzz, tidyUp } from '../support/http-fuzz.ts'
import { startNodeProcess } from './node-process.ts'

test('malformed requests are refused, and the node goes on', { timeout: 120_000 }, async () => {
  const node = await startNodeProcess({ datacenter: 'dc1', node: 'n1' })
  try {
    const random = new SeededRandom(7)
    const { sent, statuses, faults } = await httpFuzz({ port: node.http, random, requests: 2_000, connections: 24 })
    expect(faults).toEqual([])
    expect(sent).toBeGreaterThanOrEqual(2_000)
    // They reach the routes, and are not all turned down at the door.
    expect(statuses.get(200)).toBeGreaterThan(50)
    expect(statuses.get(400)).toBeGreaterThan(100)
    await tidyUp(node.http)
    expect(node.process.exitCode).toBe(null)
    const answer = await fetch(`http://127.0.0.1:${node.http}/v1/catalog/nodes`)
    expect(((await answer.json()) as unknown[]).length).toBe(1)
  } finally {
    await node.stop()
  }
})
