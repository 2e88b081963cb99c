/**
 * What is measured against: a Hono app on the runtime's own server with keys and values in a map and nothing on disk; it
 * answers the same bytes and headers as a node does.
 */
import { Hono } from 'hono'
import { serveBare } from '../serve-bare.ts'

const entries = new Map<string, Uint8Array<ArrayBuffer>>()
const encoder = new TextEncoder()
const json = { 'Content-Type': 'application/json' }
const headers = {
  ...json,
  Vary: 'Accept-Encoding',
  'X-Consul-Default-Acl-Policy': 'allow',
  'X-Consul-Index': '7',
  'X-Consul-Knownleader': 'true',
  'X-Consul-Lastcontact': '0',
  'X-Consul-Query-Backend': 'blocking-query',
}
const written = encoder.encode('true')
const app = new Hono()
app.put('/v1/kv/*', async (c) => {
  const key = c.req.path.slice('/v1/kv/'.length)
  const value = Buffer.from(await c.req.arrayBuffer()).toString('base64')
  const entry = { LockIndex: 0, Key: key, Flags: 0, Value: value, CreateIndex: 5, ModifyIndex: 6 }
  entries.set(key, encoder.encode(JSON.stringify([entry])))
  return c.body(written, 200, json)
})
app.get('/v1/kv/*', (c) => {
  const entry = entries.get(c.req.path.slice('/v1/kv/'.length))
  return entry ? c.body(entry, 200, headers) : c.body(null, 404)
})

await serveBare(app)
