/**
 * An open-loop load: requests leave at times fixed beforehand, whether earlier ones were answered or not, and a latency
 * counts from that time, so that a server that stalls cannot hide it by slowing its asker. Run as a process of its own:
 *
 *   node test/bench/open-loop.ts '{"port":8500,"path":"/v1/status/leader","perSecond":500,"seconds":10}'
 */
import { quantile } from './report.ts'
import { Wire } from './wire.ts'

export interface OpenLoop {
  readonly port: number
  readonly path: string
  readonly perSecond: number
  readonly seconds: number
  /** Answers that lack this text, in head or body, count as failed. */
  readonly expect?: string
}

export interface OpenLoopResult {
  readonly latenciesMs: readonly number[]
  readonly failed: number
  /** What the first of them brought instead of an answer, and after how long. */
  readonly firstFailure: string | undefined
  /** How late requests left, because this process did not get the processor: part of every latency above. */
  readonly lateP99Ms: number
  /** Of the answer, counted from when its request really left. Hides what a stall of the server holds back: for diagnosis. */
  readonly fromSendP99Ms: number
}

const CONNECTIONS = 16
const MAX_CONNECTIONS = 256

export async function openLoop({ port, path, perSecond, seconds, expect }: OpenLoop): Promise<OpenLoopResult> {
  const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
  const idle = await Promise.all(Array.from({ length: CONNECTIONS }, () => opened(port, request)))
  let connections = idle.length
  const count = perSecond * seconds
  const latenciesMs: number[] = []
  const lateMs: number[] = []
  const fromSendMs: number[] = []
  let failed = 0
  let firstFailure: string | undefined
  const fail = (dueMs: number, what: string): void => {
    failed++
    firstFailure ??= `after ${Math.round(performance.now() - dueMs)} ms: ${what}`
  }
  const one = async (dueMs: number): Promise<void> => {
    try {
      let wire = idle.pop()
      if (wire === undefined) {
        if (connections++ >= MAX_CONNECTIONS) throw new Error(`${MAX_CONNECTIONS} requests wait for an answer`)
        wire = await Wire.open(port)
      }
      const sentMs = performance.now()
      const { status, head, body, atMs } = await wire.send(request)
      latenciesMs.push(atMs - dueMs)
      fromSendMs.push(atMs - sentMs)
      if (status !== 200 || (expect !== undefined && !head.includes(expect) && !body.includes(expect)))
        fail(dueMs, `${head} ${body.slice(0, 500)}`)
      idle.push(wire)
    } catch (error) {
      fail(dueMs, String(error))
    }
  }
  const beganMs = performance.now() + 50
  const all: Promise<void>[] = []
  for (let n = 0; n < count; n++) {
    const dueMs = beganMs + (n * 1000) / perSecond
    await until(dueMs)
    lateMs.push(performance.now() - dueMs)
    all.push(one(dueMs))
  }
  await Promise.all(all)
  for (const wire of idle) wire.close()
  const lateP99Ms = quantile(lateMs, 0.99)
  return { latenciesMs, failed, firstFailure, lateP99Ms, fromSendP99Ms: quantile(fromSendMs, 0.99) }
}

/** One that asked nothing yet is closed by a node when it has waited for a head for some seconds. */
async function opened(port: number, request: Buffer): Promise<Wire> {
  const wire = await Wire.open(port)
  await wire.send(request)
  return wire
}

/** Timers fire up to a millisecond late, which is the size of what is measured: the rest is spent in turns of the event loop. */
async function until(dueMs: number): Promise<void> {
  for (;;) {
    const leftMs = dueMs - performance.now()
    if (leftMs <= 0) return
    await new Promise<void>((resolve) =>
      leftMs > 1.5 ? setTimeout(resolve, Math.floor(leftMs - 1)) : setImmediate(resolve),
    )
  }
}

if (import.meta.main) {
  const { latenciesMs, ...rest } = await openLoop(JSON.parse(process.argv[2]!) as OpenLoop)
  console.log(JSON.stringify({ ...rest, latenciesMs: latenciesMs.map((each) => Number(each.toFixed(3))) }))
  process.exit(0)
}
