/**
 * An open-loop load of DNS look-ups by UDP, from a process of its own: queries leave at times fixed beforehand, and a latency
 * counts from that time.
 *
 *   node test/bench/dns/load.ts '{"port":8600,"name":"web.service.consul","type":"A","perSecond":500,"seconds":5}'
 */
import { createSocket } from 'node:dgram'
import { queryFor } from '../../../src/dns/testing/queries.ts'
import { quantile } from '../report.ts'

export interface DnsLoad {
  readonly port: number
  readonly name: string
  readonly type: 'A' | 'SRV'
  readonly perSecond: number
  readonly seconds: number
}

export interface DnsLoadResult {
  readonly latenciesMs: readonly number[]
  /** Answered otherwise than with records. */
  readonly negative: number
  /** Not answered within a second. */
  readonly unanswered: number
  /** How late queries left, because this process did not get the processor: part of every latency above. */
  readonly lateP99Ms: number
}

const WAIT_MS = 1_000

async function load({ port, name, type, perSecond, seconds }: DnsLoad): Promise<DnsLoadResult> {
  const socket = createSocket({
    type: 'udp4',
    recvBufferSize: 1 << 22,
    lookup: (host, _o, done) => done(null, host, 4),
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', () => resolve()))
  const count = perSecond * seconds
  const dueMs = new Float64Array(count)
  const answered = new Uint8Array(count)
  const latenciesMs: number[] = []
  const lateMs: number[] = []
  let negative = 0
  socket.on('message', (message) => {
    const n = message.readUInt16BE(0)
    if (n >= count || answered[n]) return
    answered[n] = 1
    latenciesMs.push(performance.now() - dueMs[n]!)
    if ((message[3]! & 15) !== 0 || message.readUInt16BE(6) === 0) negative++
  })
  const query = queryFor(name, { type, udpBytes: 1232 })
  const beganMs = performance.now() + 50
  for (let n = 0; n < count; n++) {
    dueMs[n] = beganMs + (n * 1000) / perSecond
    await until(dueMs[n]!)
    lateMs.push(performance.now() - dueMs[n]!)
    const own = query.slice()
    own.set([n >> 8, n & 255])
    socket.send(own, port, '127.0.0.1')
  }
  await new Promise((wake) => setTimeout(wake, WAIT_MS))
  socket.close()
  const unanswered = answered.reduce((sum, one) => sum - one, count)
  return { latenciesMs, negative, unanswered, lateP99Ms: quantile(lateMs, 0.99) }
}

/** Timers fire up to a millisecond late: the rest is spent in turns of the event loop. */
async function until(dueMs: number): Promise<void> {
  for (;;) {
    const leftMs = dueMs - performance.now()
    if (leftMs <= 0) return
    await new Promise<void>((wake) => (leftMs > 1.5 ? setTimeout(wake, Math.floor(leftMs - 1)) : setImmediate(wake)))
  }
}

console.log(JSON.stringify(await load(JSON.parse(process.argv[2]!) as DnsLoad)))
process.exit(0)
