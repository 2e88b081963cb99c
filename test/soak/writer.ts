/** Changes the services of one datacenter, one change after the other, and keeps its history. */
import type { SeededRandom } from '../../src/runtime/virtual.ts'
import { sleep, type TestMesh } from '../cluster/harness.ts'
import { History } from './history.ts'

export const SERVICE = 'soak'
const MAX_INSTANCES = 20
const RETRY_MS = 100
const TIMEOUT_MS = 2000

/** Of an answer of `/v1/health/service/soak`, or of what the writer means to be so. */
export const stateOf = (instances: Iterable<readonly [id: string, port: number]>): string =>
  [...instances]
    .map(([id, port]) => `${id}:${port}`)
    .sort()
    .join(' ')

export class Writer {
  readonly datacenter: string
  readonly history = new History()
  readonly #mesh: TestMesh
  readonly #random: SeededRandom
  readonly #instances = new Map<string, number>()
  #stopped = false
  #running: Promise<void> | undefined
  writes = 0

  constructor(mesh: TestMesh, datacenter: string, random: SeededRandom) {
    this.#mesh = mesh
    this.datacenter = datacenter
    this.#random = random
  }

  get server(): string {
    return `${this.datacenter}-server`
  }

  /** Changes something about every `everyMs`, until `stop`. */
  start(everyMs: number): void {
    this.#stopped = false
    this.#running = (async () => {
      while (!this.#stopped) {
        await this.change()
        await sleep(everyMs * (0.5 + this.#random.float()))
      }
    })()
  }

  /** Resolves when the last change was acknowledged. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  /** One instance more, changed, or less; resolves when that is acknowledged. */
  async change(): Promise<void> {
    const id = `i-${Math.floor(this.#random.float() * MAX_INSTANCES)}`
    const remove = this.#instances.has(id) && this.#random.float() < 0.4
    const port = 1 + Math.floor(this.#random.float() * 60_000)
    if (remove) this.#instances.delete(id)
    else this.#instances.set(id, port)
    const node = `outside-${this.datacenter}`
    const [path, body] = remove
      ? ['/v1/catalog/deregister', { Node: node, ServiceID: id }]
      : ['/v1/catalog/register', { Node: node, Address: '10.9.9.9', Service: { ID: id, Service: SERVICE, Port: port } }]
    this.history.begin(stateOf(this.#instances), performance.now())
    await this.put(path as string, body)
    this.history.acknowledge(performance.now())
    this.writes++
  }

  /** The same again until it is acknowledged: whether an attempt that failed was applied does not matter then. */
  async put(path: string, body: object): Promise<void> {
    for (;;) {
      try {
        const { status } = await this.#mesh.send(this.server, 'PUT', path, body, { timeoutMs: TIMEOUT_MS })
        if (status === 200) return
      } catch {}
      await sleep(RETRY_MS)
    }
  }
}
