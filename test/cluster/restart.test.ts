/** Replicas across a restart: real processes, a real disk, and a WAN that is cut. */
import { readdir, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decode } from '../../src/federation/protocol/codec.ts'
import { eventually, startMesh, type TestMesh } from './harness.ts'

let mesh: TestMesh

beforeAll(async () => {
  mesh = await startMesh({
    name: 'restart',
    datacenters: [
      { name: 'eu-1', clients: 0 },
      { name: 'us-1', clients: 0 },
    ],
    links: [{ between: ['eu-1', 'us-1'], rttMs: 20 }],
  })
}, 60_000)
afterAll(() => mesh?.stop())

const ask = async () => {
  const { status, headers, body } = await mesh.get('us-1-server', '/v1/health/service/web?dc=eu-1&passing')
  return { status, headers, instances: Array.isArray(body) ? body.length : 0 }
}

/** As the file `ages` has it. */
type SavedAge = readonly [datacenter: string, digest: string, ageMs: number, wallMs: number]

const digestHeld = async (): Promise<string | undefined> => {
  const { body } = await mesh.get('us-1-server', '/v1/mesh')
  const { Datacenters } = body as { Datacenters: { Datacenter: string; Replica: { Digest: string } | null }[] }
  return Datacenters.find(({ Datacenter }) => Datacenter === 'eu-1')?.Replica?.Digest
}

describe('a server that was killed and starts while the WAN is cut', () => {
  it('answers at once from its disk, and says how old that is', { timeout: 90_000 }, async () => {
    const node = { Node: 'a', Address: '10.0.0.1', Service: { Service: 'web', Port: 80 } }
    await mesh.send('eu-1-server', 'PUT', '/v1/catalog/register', node)
    await eventually('us-1 holds eu-1', async () => (await ask()).instances === 1)
    await eventually(
      'the replica is on the disk, with an age that is known',
      async () => {
        const directory = `${mesh.local.node('us-1-server').plan.dataDirectory}/replicas`
        if (!(await readdir(directory)).includes('eu-1.replica')) return false
        const bytes = await readFile(`${directory}/ages`).catch(() => undefined)
        const [rows] = bytes ? (decode(bytes, { maxBytes: 4096, maxItems: 64 }) as [SavedAge[]]) : [[]]
        const held = await digestHeld()
        return rows.some(([name, digest, ageMs]) => name === 'eu-1' && digest === held && ageMs < 60_000)
      },
      20_000,
    )
    await mesh.local.cut('eu-1', 'us-1')
    const cutMs = performance.now()
    await mesh.local.kill('us-1-server')
    await mesh.local.restart('us-1-server')
    const { status, headers, instances } = await ask()
    const sinceCutMs = performance.now() - cutMs
    expect({ status, instances }).toEqual({ status: 200, instances: 1 })
    const ageMs = Number(headers.get('X-Atoll-Age-Ms'))
    // Not younger than the cut, give or take a beacon; older by what the file's age may lag behind.
    expect(ageMs).toBeGreaterThan(sinceCutMs - 1500)
    expect(ageMs).toBeLessThan(sinceCutMs + 15_000)
    expect(headers.get('X-Consul-Knownleader')).toBe('false')
    await mesh.local.heal('eu-1', 'us-1')
    await eventually('it is current again', async () => Number((await ask()).headers.get('X-Atoll-Age-Ms')) < 2000)
  })
})
