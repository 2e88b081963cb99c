import { describe, expect, test, vi } from 'vitest'
import { appOverFakeMesh } from './testing/app-over-fake-mesh.ts'

const http = appOverFakeMesh()
const { call, start } = http

describe('event streams', () => {
  const decoder = new TextDecoder()
  const reading = (response: Response) => {
    const reader = response.body!.getReader()
    return { next: async () => decoder.decode((await reader.read()).value), cancel: () => reader.cancel() }
  }

  test('an event for each change, with the index as its id, and room again when the client goes', async () => {
    start({ limits: { maxWatchers: 1 } })
    http.mesh.answers.services = [{ service: 'web', tags: [] }]
    const response = await call('/v1/watch/catalog/services')
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const events = reading(response)
    expect(await events.next()).toBe('retry: 1000\n\n')
    expect(await events.next()).toBe('id: 7\nevent: change\ndata: {"web":[]}\n\n')
    http.mesh.answers.services = [{ service: 'web', tags: ['a'] }]
    const next = events.next()
    http.mesh.change(8)
    expect(await next).toBe('id: 8\nevent: change\ndata: {"web":["a"]}\n\n')
    expect((await call('/v1/watch/catalog/services')).status).toBe(429)
    await events.cancel()
    const again = reading(await call('/v1/watch/catalog/services'))
    expect(await again.next()).toContain('retry')
    await again.cancel()
  })

  test('go on after Last-Event-ID', async () => {
    http.mesh.answers.services = []
    const response = await call('/v1/watch/catalog/services', { headers: { 'Last-Event-ID': '7' } })
    const events = reading(response)
    expect(await events.next()).toBe('retry: 1000\n\n')
    const next = events.next()
    http.mesh.change(9)
    expect(await next).toMatch(/^id: 9\n/)
    await events.cancel()
  })

  test('a client that takes nothing is given up', async () => {
    start({ limits: { maxWatchers: 1, stalledWatcherMs: 20 } })
    http.mesh.answers.services = []
    const stalled = await call('/v1/watch/catalog/services')
    const next = await vi.waitFor(async () => {
      const answer = await call('/v1/watch/catalog/services')
      expect(answer.status).toBe(200)
      return answer
    })
    await next.body!.cancel()
    await stalled.body!.cancel()
  })

  test('end when the app closes, and a bad question is a status', async () => {
    http.mesh.answers['kv-prefix'] = []
    const events = reading(await call('/v1/watch/kv/a/'))
    await events.next()
    expect(await events.next()).toBe('id: 7\nevent: change\ndata: []\n\n')
    http.close()
    expect(await events.next()).toBe('')
    expect((await call('/v1/watch/health/service/web?dc=dc9')).status).toBe(500)
  })
})
