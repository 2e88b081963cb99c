import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AtollError } from '../model/errors.ts'
import type { ReadyAnswer } from '../runtime/ports.ts'
import { appOverFakeMesh } from './testing/app-over-fake-mesh.ts'

const http = appOverFakeMesh()
beforeEach(() => http.start())
afterEach(() => http.close())

interface Shown {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

function shownOf({ status, headers, body }: ReadyAnswer): Shown {
  const pairs = headers.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), headers[i + 1]!] as const] : []))
  return { status, headers: Object.fromEntries(pairs), body: body as string }
}

/** Its length is told by the servers, not by the app. */
async function longWay(target: string, body: string, headers: Record<string, string> = {}): Promise<Shown> {
  const answer = await http.call(target, { method: 'PUT', body, headers })
  const text = await answer.text()
  const shown = { ...Object.fromEntries(answer.headers), 'content-length': String(text.length) }
  return { status: answer.status, headers: shown, body: text }
}

describe('the short way of a write', () => {
  it('is taken for a plain key, and answers as the long one', async () => {
    const short = http.app.put('/v1/kv/app/port', { host: 'a' }, 3)!
    expect(shownOf(await short(new TextEncoder().encode('80')))).toEqual(await longWay('/v1/kv/app/port', '80'))
    const [one, other] = http.mesh.commands.map(({ command }) => command)
    expect(one).toMatchObject({ kind: 'kv-put', key: 'app/port', flags: 0n })
    expect(other).toEqual(one)
  })

  it.each([
    new AtollError('unavailable', 'no majority'),
    new AtollError('overloaded', 'too many'),
    new AtollError('invalid', 'value: too long', { field: 'value' }),
    new Error('a bug'),
  ])('refuses as the long one: %s', async (error) => {
    http.mesh.execute = () => Promise.reject(error)
    const short = http.app.put('/v1/kv/a', {}, 1)!
    expect(shownOf(await short(new Uint8Array(1)))).toEqual(await longWay('/v1/kv/a', 'x'))
    expect(http.errors).toHaveLength(error instanceof AtollError ? 0 : 2)
  })

  it('is taken, too, where the server makes Requests', async () => {
    const put = (headers: Record<string, string>) =>
      http.call('/v1/kv/a', { method: 'PUT', body: 'v', headers: { 'content-length': '1', ...headers } })
    const [short, long] = [await put({}), await put({ 'x-consul-token': 't' })]
    expect([
      short.status,
      await short.text(),
      [...short.headers].filter(([name]) => name !== 'content-length'),
    ]).toEqual([long.status, await long.text(), [...long.headers]])
    expect(http.mesh.commands.map(({ options }) => 'signal' in options)).toEqual([false, true])
  })

  it.each([
    ['/v1/kv/a?cas=0', {}, 1],
    ['/v1/kv/', {}, 1],
    ['/v1/kv/a%20b', {}, 1],
    ['/v1/kv/a//b', {}, 1],
    ['/v1/kv/../a', {}, 1],
    ['/v1/kv/a/./b', {}, 1],
    ['/v1/kvx/a', {}, 1],
    ['/v1/kv/a', { 'x-consul-token': 't' }, 1],
    ['/v1/kv/a', { authorization: 'Bearer t' }, 1],
    ['/v1/kv/a', { 'x-consul-namespace': 'n' }, 1],
    ['/v1/kv/a', {}, 101],
    [`/v1/kv/${'a'.repeat(16_384)}`, {}, 1],
  ] as const)('is not taken for %.30s %j %i', (target, headers, count) => {
    expect(http.app.put(target, headers, count)).toBeUndefined()
  })

  it('comes to the same as the long one for any path', async () => {
    const part = fc.constantFrom(
      'a',
      '.',
      '..',
      '/',
      '//',
      '%2e',
      '%',
      '?',
      '&',
      '#',
      '+',
      '~',
      '@',
      ':',
      '=',
      ',',
      '-',
      '_',
      ';',
      '"',
    )
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 8 }), async (parts) => {
        const target = `/v1/kv/${parts.join('')}`
        const short = http.app.put(target, {}, 1)
        if (!short) return
        http.mesh.commands.length = 0
        expect(shownOf(await short(new TextEncoder().encode('v')))).toEqual(await longWay(target, 'v'))
        expect(http.mesh.commands[1]?.command).toEqual(http.mesh.commands[0]?.command)
      }),
      { numRuns: 2_000 },
    )
  })
})
