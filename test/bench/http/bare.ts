/**
 * What is measured against: a Hono app on the runtime's own server that sends, by service, bytes that it holds. As many
 * arrays as services, because one that is sent again and again would never leave the processor's cache.
 */
import { readFileSync } from 'node:fs'
import { Hono } from 'hono'
import { serveBare } from '../serve-bare.ts'

const bytes = new Uint8Array(readFileSync(process.argv[2]!))
const bodies = new Map(Array.from({ length: Number(process.argv[3]) }, (_, i) => [`web-${i}`, bytes.slice()]))
const headers = { 'Content-Type': 'application/json' }
const app = new Hono()
app.get('/v1/health/service/:service', (c) => c.body(bodies.get(c.req.param('service'))!, 200, headers))
app.put('/v1/catalog/register', async (c) => {
  await c.req.text()
  return c.body(null, 200)
})

await serveBare(app)
