import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FakeNode, startFakeNode } from '../../test/cli/fake-node.ts'
import { createClient } from './client.ts'
import { createEventParser } from './events.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

describe('the parser', () => {
  const text =
    ': hi\r\n\r\nevent: change\r\nid: 7\r\ndata: {"a":\ndata:1}\n\nretry: 250\r\rdata: ü☃\r\rdata\n\nid\ndata:  two\n\ndata: cut'
  const expected = [
    { event: 'change', data: '{"a":\n1}', id: '7', retryMs: undefined },
    { event: 'message', data: undefined, id: '7', retryMs: 250 },
    { event: 'message', data: 'ü☃', id: '7', retryMs: undefined },
    { event: 'message', data: '', id: '7', retryMs: undefined },
    { event: 'message', data: ' two', id: '', retryMs: undefined },
  ]

  it('takes every kind of line', () => {
    expect(createEventParser(1000).push(bytes(text))).toEqual(expected)
  })

  it('does not mind where chunks end', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1 }), (lengths) => {
        const parser = createEventParser(1000)
        const all = bytes(text)
        const events = []
        for (let at = 0, turn = 0; at < all.length; turn++) {
          const length = turn < 1000 ? lengths[turn % lengths.length]! : all.length
          events.push(...parser.push(all.subarray(at, at + length)))
          at += length
        }
        expect(events).toEqual(expected)
      }),
    )
  })

  it('refuses an event without end', () => {
    const parser = createEventParser(100)
    expect(() => parser.push(bytes(`data: ${'x'.repeat(200)}`))).toThrow(/larger than 100 bytes/)
    const lines = createEventParser(100)
    expect(() => {
      for (let at = 0; at < 50; at++) lines.push(bytes('data: xxxxx\n'))
    }).toThrow(/larger/)
  })
})

describe('a stream', () => {
  let node: FakeNode
  beforeEach(async () => {
    node = await startFakeNode()
  })
  afterEach(() => node.close())

  it('comes back with the last id, until its signal fires', async () => {
    let connection = 0
    node.on('GET /v1/watch/health/service/web', (_asked, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      response.write(`retry: 1\n\nid: ${++connection}\nevent: service\ndata: [${connection}]\n\n`)
      if (connection === 1) response.end()
      return 'taken'
    })
    const stop = new AbortController()
    const seen: unknown[] = []
    const failures: string[] = []
    const stream = createClient({ address: node.address }).events(
      'health/service/web',
      { passing: true },
      { signal: stop.signal, onError: (error) => failures.push(error.code) },
    )
    for await (const event of stream) {
      seen.push(event)
      if (seen.length === 2) stop.abort()
    }
    expect(seen).toEqual([
      { event: 'service', data: '[1]', id: '1' },
      { event: 'service', data: '[2]', id: '2' },
    ])
    expect(failures).toEqual(['unreachable'])
    expect(node.asked[0]!.headers['last-event-id']).toBeUndefined()
    expect(node.asked[1]!.headers['last-event-id']).toBe('1')
    expect(node.asked[1]!.query.get('passing')).toBe('')
  })

  it('takes silence for death', async () => {
    node.on('GET /v1/watch/x', (_asked, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      response.write(':\n\n')
      return 'taken'
    })
    const stop = new AbortController()
    const options = { signal: stop.signal, idleTimeoutMs: 20, onError: () => stop.abort() }
    for await (const _ of createClient({ address: node.address }).events('x', {}, options)) expect.unreachable()
    expect(node.asked).toHaveLength(1)
  })

  it('fails for what lasts', async () => {
    node.on('GET /v1/watch/y', { body: {} })
    const { events } = createClient({ address: node.address })
    await expect(events('nope').next()).rejects.toMatchObject({ code: 'not-found' })
    await expect(events('y').next()).rejects.toMatchObject({ code: 'bad-answer' })
  })
})
