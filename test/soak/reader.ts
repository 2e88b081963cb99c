/** Asks one node for every datacenter, again and again, and judges each answer. */
import type { NodeAnswer } from '../../topology/node-api.ts'
import { sleep, type TestMesh } from '../cluster/harness.ts'
import type { Judgement } from './history.ts'
import { SERVICE, stateOf, type Writer } from './writer.ts'

export interface Finding {
  readonly node: string
  readonly datacenter: string
  readonly what: Exclude<Judgement, { ok: true }>['wrong'] | 'failed'
  /** Milliseconds beyond what the stated age allows; or status and text. */
  readonly detail: string
  readonly atMs: number
}

/** An age is exact to 1.2 s and the way of a head (docs/consistency.md); and processes on a busy machine are late to send and to read. */
const SLACK_MS = 1200 + 500
/** A node that was disturbed itself may have read old news late, and may not answer. */
const SETTLED_MS = 2000
/** A node that is well and takes longer has failed, also on a busy machine. */
const TIMEOUT_MS = 5000

interface Entry {
  readonly Service: { readonly ID: string; readonly Port: number }
}

export class Reader {
  readonly node: string
  readonly findings: Finding[] = []
  answers = 0
  /** The highest age that was stated. */
  oldestMs = 0
  readonly #mesh: TestMesh
  readonly #writers: readonly Writer[]
  /** By datacenter: the latest version that this node has given. */
  readonly #floors = new Map<string, number>()
  #disturbedMs = Number.NEGATIVE_INFINITY
  #stopped = false
  #running: Promise<void> | undefined

  constructor(mesh: TestMesh, node: string, writers: readonly Writer[]) {
    this.#mesh = mesh
    this.node = node
    this.#writers = writers
  }

  start(everyMs: number): void {
    this.#running = (async () => {
      for (let turn = 0; !this.#stopped; turn++) {
        await this.look(this.#writers[turn % this.#writers.length]!)
        await sleep(everyMs)
      }
    })()
  }
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  /** It is stopped, killed or started now. After a start it may answer from its disk, as it was before. */
  disturbed(restarted: boolean): void {
    this.#disturbedMs = performance.now()
    if (restarted) this.#floors.clear()
  }
  get #isSettled(): boolean {
    const { state } = this.#mesh.local.node(this.node).worker
    return state === 'ready' && performance.now() - this.#disturbedMs > SETTLED_MS
  }

  /** Asks once; the version that the node has, when it is a right one. */
  async look(writer: Writer): Promise<number | undefined> {
    const { datacenter } = writer
    const askedMs = performance.now()
    const wasSettled = this.#isSettled
    let answer: NodeAnswer
    try {
      const path = `/v1/health/service/${SERVICE}?dc=${datacenter}`
      answer = await this.#mesh.get(this.node, path, { timeoutMs: TIMEOUT_MS })
    } catch (error) {
      if (wasSettled && this.#isSettled) this.#found(writer, 'failed', String(error))
      return undefined
    }
    const answeredMs = performance.now()
    if (!wasSettled || !this.#isSettled) return undefined
    const { status, body, headers } = answer
    if (status !== 200) {
      this.#found(writer, 'failed', `${status} ${String(body).slice(0, 200)}`)
      return undefined
    }
    this.answers++
    const stated = headers.get('x-atoll-age-ms') ?? '0'
    const ageMs = stated === 'unknown' ? Number.POSITIVE_INFINITY : Number(stated)
    if (Number.isFinite(ageMs)) this.oldestMs = Math.max(this.oldestMs, ageMs)
    const state = stateOf((body as Entry[]).map(({ Service }) => [Service.ID, Service.Port] as const))
    const floor = this.#floors.get(datacenter) ?? 0
    const judged = writer.history.judge(state, { askedMs, answeredMs, ageMs, floor }, SLACK_MS)
    if (!judged.ok) {
      this.#found(writer, judged.wrong, `by ${Math.round(judged.byMs)} ms, stated age ${ageMs} ms: ${state}`)
      return undefined
    }
    this.#floors.set(datacenter, judged.version)
    return judged.version
  }

  #found({ datacenter }: Writer, what: Finding['what'], detail: string): void {
    if (this.findings.length < 1000)
      this.findings.push({ node: this.node, datacenter, what, detail, atMs: performance.now() })
  }
}
