/**
 * A node whose memory can be asked for: `memory` on standard input is answered by one line of JSON, with what it came to at most
 * since it was asked before. Run with --expose-gc.
 * Its first line says where it listens.
 */
import { createInterface } from 'node:readline'
import { startNode } from '../../../src/node.ts'

const gc = (globalThis as { gc?: () => void }).gc
if (gc === undefined) throw new Error('run it with --expose-gc')
const [datacenter = 'eu-1', join = '', mesh = 'flood'] = process.argv.slice(2)

const node = await startNode({
  dev: true,
  preset: 'dev',
  datacenter,
  node: `${datacenter}-server`,
  http: { host: '127.0.0.1', port: 0 },
  dns: { enabled: false },
  federation: { host: '127.0.0.1', port: 0, mesh, flatNetwork: true, join: join === '' ? [] : [join] },
  log: { level: 'error', format: 'text' },
})
const LOOK_MS = 100
/** Parts of resident memory, garbage included. */
const most = { heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0, rss: 0 }
setInterval(() => {
  const now = process.memoryUsage()
  for (const part of Object.keys(most) as (keyof typeof most)[]) most[part] = Math.max(most[part], now[part])
}, LOOK_MS).unref()

console.log(JSON.stringify({ port: node.http.port, address: node.addresses[0] }))
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== 'memory') continue
  // Twice: finalizers of the first release what the second takes.
  gc()
  gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  console.log(JSON.stringify({ liveBytes: heapUsed + arrayBuffers, most }))
  for (const part of Object.keys(most) as (keyof typeof most)[]) most[part] = 0
}
process.exit(0)
