/** A store with many instances, each on a node of its own, with a check, as registrations leave them. */
import * as codec from '../../../src/catalog/codec.ts'
import { keys } from '../../../src/model/keys.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { systemRandom } from '../../../src/runtime/random.ts'
import { openEmbedded } from '../../../src/store/embedded/embedded.ts'

export const SERVICES = 500
export const serviceOf = (i: number): string => `service-${i % SERVICES}`

/** Instances in one transaction. */
const BATCH = 40
/** Transactions that wait for the disk at once. */
const AHEAD = 64

export async function fill(path: string, instances: number): Promise<void> {
  const store = await openEmbedded({ path, clock: systemClock, random: systemRandom })
  let waiting: Promise<unknown>[] = []
  for (let from = 0; from < instances; from += BATCH) {
    const puts = []
    for (let i = from; i < Math.min(instances, from + BATCH); i++) puts.push(...entriesOf(i))
    waiting.push(store.txn({ then: puts.map(([key, value]) => ({ put: key, value })) }))
    if (waiting.length < AHEAD) continue
    await Promise.all(waiting)
    waiting = []
  }
  await Promise.all(waiting)
  await store.close()
}

function entriesOf(i: number): [string, Uint8Array][] {
  const [high, middle, low] = [i >> 16, (i >> 8) & 255, i & 255]
  const node = `ip-10-${high}-${middle}-${low}.eu-1.example`
  const address = `10.${high}.${middle}.${low}`
  const service = serviceOf(i)
  const id = `${service}-${i}`
  const port = 8000 + (i % 1000)
  return [
    [
      keys.node(node),
      codec.encodeNode({
        id: `${i.toString(16).padStart(8, '0')}-5d1f-4c6a-9d0e-${(i * 7919).toString(16).padStart(12, '0')}`,
        node,
        address,
        taggedAddresses: { lan: address, wan: address },
        meta: { zone: `eu-1${'abc'[i % 3]}`, instance_type: 'm5.large' },
        owner: 'catalog',
      }),
    ],
    [
      keys.service(node, id),
      codec.encodeService({
        node,
        id,
        service,
        kind: '',
        tags: ['v1', 'http', i % 2 ? 'blue' : 'green'],
        address,
        taggedAddresses: { lan: { address, port }, wan: { address, port } },
        meta: { version: `1.${i % 20}.${i % 7}`, build: (i * 104_729).toString(16) },
        port,
        socketPath: '',
        weights: { passing: 1, warning: 1 },
        enableTagOverride: false,
        proxy: null,
        connect: null,
        owner: 'catalog',
      }),
    ],
    [
      keys.check(node, `service:${id}`),
      codec.encodeCheck({
        node,
        checkId: `service:${id}`,
        name: `Service '${service}' check`,
        status: 'passing',
        notes: '',
        output: '',
        serviceId: id,
        serviceName: service,
        serviceTags: ['v1', 'http'],
        type: 'http',
        interval: '10s',
        timeout: '1s',
        exposedPort: 0,
        definition: {},
        owner: 'catalog',
      }),
    ],
  ]
}
