/** Each recipe of docs/recipes.md against a node in a process of its own; and the commands that do the same. */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Client, createClient, type HeldLock } from '../../src/client/client.ts'
import { type NodeProcess, startNodeProcess } from '../replay/node-process.ts'
import { recipe, recipeNames } from './page.ts'

let node: NodeProcess
let client: Client
beforeAll(async () => {
  node = await startNodeProcess({ datacenter: 'eu-1', node: 'n1' })
  client = createClient({ address: `127.0.0.1:${node.http}` })
}, 90_000)
afterAll(() => node?.stop())

const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  const endMs = performance.now() + 20_000
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error('it did not come about')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
type Async<A extends unknown[], R> = (...args: A) => Promise<R>

const used = new Set<string>()
const of = <T>(name: string): T => {
  used.add(name)
  return recipe<T>(name)
}

test('the page about prepared queries: its queries are stored, explained, executed and waited for', async () => {
  const page = await readFile(new URL('../../docs/prepared-queries.md', import.meta.url), 'utf8')
  const bodies = [...page.matchAll(/-d '(\{[\s\S]*?\n\})'/g)].map((match) => JSON.parse(match[1]!))
  expect(bodies).toHaveLength(2)
  for (const body of bodies) await client.query.create(body)
  expect((await client.query.explain('db-orders')).value.Service).toMatchObject({
    Service: 'postgres',
    Tags: ['orders'],
  })
  const { value, meta } = await client.query.execute('web')
  expect(value).toMatchObject({ Service: 'web', Nodes: [], DNS: { TTL: '10s' } })
  const changed = client.query.execute('web', { index: meta.index!, waitMs: 20_000 })
  await client.agent.register({ Name: 'web', Port: 80, Tags: ['v2'] })
  expect((await changed).value.Nodes).toMatchObject([{ Service: { Service: 'web' } }])
})

describe.sequential('recipes', () => {
  test('a stream of changes goes on where it was, after `Last-Event-ID`', async () => {
    const path = `http://127.0.0.1:${node.http}/v1/watch/kv-changes/r/`
    const read = async (id: string | undefined, enough: (text: string) => boolean): Promise<string> => {
      const stop = new AbortController()
      const response = await fetch(path, {
        signal: stop.signal,
        headers: id === undefined ? {} : { 'Last-Event-ID': id },
      })
      let text = ''
      const reader = response.body!.getReader()
      while (!enough(text)) text += new TextDecoder().decode((await reader.read()).value)
      stop.abort()
      return text
    }
    const first = await read(undefined, (text) => text.includes('event: position'))
    const id = /^id: (\d+)$/m.exec(first)![1]!
    for (const value of ['1', '2', '3']) await client.kv.put('r/a', value)
    await client.kv.delete('r/a')
    const rest = await read(id, (text) => text.includes('event: delete'))
    const values = [...rest.matchAll(/"Value":"([^"]*)"/g)].map((match) => atob(match[1]!))
    expect(values).toEqual(['1', '2', '3'])
    const ids = [...rest.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]))
    expect(ids).toEqual([...ids].sort((a, b) => a - b))
    expect(await read('99999999999', (text) => text.includes('event: compacted'))).not.toContain('event: put')
  })

  test('mirror: every change, in order', async () => {
    const { mirror } = of<{
      mirror: Async<[Client, string, (copy: Map<string, string>) => void, AbortSignal], void>
    }>('mirror')
    await client.kv.put('m/a', '1')
    const stop = new AbortController()
    let copy = new Map<string, string>()
    const seen: string[] = []
    const running = mirror(
      client,
      'm/',
      (now) => {
        copy = now
        seen.push(now.get('m/n') ?? '')
      },
      stop.signal,
    )
    await until(() => copy.get('m/a') === '1')
    for (let i = 0; i < 30; i++) await client.kv.put('m/n', String(i))
    await client.kv.delete('m/a')
    await until(() => copy.get('m/n') === '29' && !copy.has('m/a'))
    expect(seen.filter((value) => value !== '').filter((value, i, all) => value !== all[i - 1])).toEqual(
      Array.from({ length: 30 }, (_, i) => String(i)),
    )
    stop.abort()
    await running
  })

  test('lock: one at a time, and writes that are fenced', async () => {
    interface Held {
      fence: number
      session: string
    }
    const { exclusively, writeFenced } = of<{
      exclusively: <R>(client: Client, key: string, work: (held: Held) => Promise<R>) => Promise<R>
      writeFenced: Async<[Client, string, string, string, string], boolean>
    }>('lock')
    let inside = 0
    const fences: number[] = []
    let session = ''
    const work = () =>
      exclusively(client, 'locks/r', async (held) => {
        expect(++inside).toBe(1)
        fences.push(held.fence)
        session = held.session
        expect(await writeFenced(client, 'locks/r', session, 'data', String(held.fence))).toBe(true)
        inside--
      })
    await Promise.all([work(), work(), work()])
    expect(fences).toEqual([...fences].sort((a, b) => a - b))
    expect(new Set(fences).size).toBe(3)
    expect(await writeFenced(client, 'locks/r', session, 'data', 'late')).toBe(false)
    expect(new TextDecoder().decode((await client.kv.get('data')).value!.value)).toBe(String(fences[2]))
  })

  test('election: one leads, and when its session ends another does', async () => {
    const { stand, leader } = of<{
      stand: Async<[Client, string, string, (lock: HeldLock) => Promise<void>, AbortSignal], void>
      leader: Async<[Client, string], string | undefined>
    }>('election')
    const stop = new AbortController()
    const leading = new Set<string>()
    const standing = ['a', 'b'].map((id) =>
      stand(
        client,
        'web',
        id,
        async (lock) => {
          leading.add(id)
          expect(leading.size).toBe(1)
          await new Promise<void>((resolve) => {
            for (const signal of [lock.lost, stop.signal])
              signal.addEventListener('abort', () => resolve(), { once: true })
          })
          leading.delete(id)
        },
        stop.signal,
      ),
    )
    await until(() => leading.size === 1)
    const [first] = leading
    expect(await leader(client, 'web')).toBe(first)
    await client.session.destroy((await client.kv.get('leader/web')).value!.session)
    await until(async () => leading.size === 1 && (await leader(client, 'web')) !== undefined)
    stop.abort()
    await Promise.all(standing)
    expect(await leader(client, 'web')).toBeUndefined()
  })

  test('semaphore: so many and no more, in the order of their coming', async () => {
    const { enter } = of<{ enter: Async<[Client, string, number], () => Promise<void>> }>('semaphore')
    const inside: number[] = []
    let most = 0
    await Promise.all(
      Array.from({ length: 6 }, async (_, i) => {
        const leave = await enter(client, 's', 2)
        inside.push(i)
        most = Math.max(most, inside.length)
        await new Promise((resolve) => setTimeout(resolve, 30))
        inside.splice(inside.indexOf(i), 1)
        await leave()
      }),
    )
    expect(most).toBe(2)
    await until(async () => (await client.kv.keys('semaphore/s/')).value.length === 0)
  })

  test('barrier: nobody goes before all have come', async () => {
    const { meet } = of<{ meet: Async<[Client, string, number], void> }>('barrier')
    let passed = 0
    const first = [meet(client, 'b', 3), meet(client, 'b', 3)].map((each) => each.then(() => passed++))
    await until(async () => (await client.kv.keys('barrier/b/')).value.length === 2)
    expect(passed).toBe(0)
    await meet(client, 'b', 3)
    await Promise.all(first)
    expect(passed).toBe(2)
  })

  test('queue: in order, each once', async () => {
    const { add, take } = of<{
      add: Async<[Client, string, string], string>
      take: Async<[Client, string, AbortSignal?], string>
    }>('queue')
    const early = take(client, 'q')
    for (let i = 0; i < 12; i++) await add(client, 'q', String(i))
    expect(await early).toBe('0')
    const rest = await Promise.all(Array.from({ length: 11 }, () => take(client, 'q')))
    expect(rest.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 11 }, (_, i) => i + 1))
  })

  test('membership: who lives is in it', async () => {
    const { join, members } = of<{
      join: Async<[Client, string, string, string], () => Promise<void>>
      members: (client: Client, group: string, signal: AbortSignal) => AsyncGenerator<readonly string[]>
    }>('membership')
    const stop = new AbortController()
    let now: readonly string[] = []
    const watching = (async () => {
      for await (const each of members(client, 'g', stop.signal)) now = each
    })().catch(() => {})
    const leaveA = await join(client, 'g', 'a', '10.0.0.1')
    const leaveB = await join(client, 'g', 'b', '10.0.0.2')
    await until(() => now.join() === 'a,b')
    await expect(join(client, 'g', 'a', '10.0.0.3')).rejects.toThrow('a is a member already')
    await leaveA()
    await until(() => now.join() === 'b')
    stop.abort()
    await Promise.all([leaveB(), watching])
  })

  test('configuration: its own over the defaults, and told when either changes', async () => {
    const { configured } = of<{
      configured: Async<[Client, string, (values: Record<string, string>) => void, AbortSignal], void>
    }>('configuration')
    await client.kv.put('config/defaults/color', 'blue')
    await client.kv.put('config/defaults/size', '1')
    await client.kv.put('config/web/size', '2')
    const stop = new AbortController()
    let values: Record<string, string> = {}
    const running = configured(
      client,
      'web',
      (now) => {
        values = now
      },
      stop.signal,
    )
    await until(() => values.size === '2')
    expect(values).toEqual({ color: 'blue', size: '2' })
    await client.kv.put('config/defaults/color', 'green')
    await until(() => values.color === 'green')
    await client.kv.delete('config/web/size')
    await until(() => values.size === '1')
    stop.abort()
    await running
  })

  test('all recipes of the page were run', () => {
    expect([...used].sort()).toEqual([...recipeNames].sort())
  })
})

const root = fileURLToPath(new URL('../../', import.meta.url))
const runtimeArguments = 'Deno' in globalThis ? ['run', '-A'] : []

/** The command line in a process of its own, speaking to the node. */
function atoll(...args: string[]) {
  const child = spawn(process.execPath, [...runtimeArguments, 'src/main.ts', ...args], {
    cwd: root,
    env: { ...process.env, ATOLL_HTTP_ADDR: `127.0.0.1:${node.http}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (out += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  return { child, ended, output: () => out }
}

describe.sequential('commands', () => {
  test('atoll lock: runs alone, gives its exit code and signals on, and ends what lost the lock', {
    timeout: 90_000,
  }, async () => {
    const holder = atoll(
      'lock',
      'cli/l',
      '--ttl',
      '10s',
      '--',
      'sh',
      '-c',
      'echo fence $ATOLL_LOCK_FENCE; trap "exit 7" TERM; while :; do sleep 0.1; done',
    )
    await until(() => holder.output().includes('fence '))
    const { value } = await client.kv.get('cli/l')
    expect(holder.output()).toContain(`fence ${value!.modifyIndex}`)
    const refused = atoll('lock', 'cli/l', '--wait', '0s', '--', 'true')
    expect(await refused.ended).toBe(1)
    expect(refused.output()).toContain('is held by another')
    process.kill(holder.child.pid!, 'SIGTERM')
    expect(await holder.ended).toBe(7)
    expect((await client.kv.get('cli/l')).value!.session).toBe('')

    const loser = atoll(
      'lock',
      'cli/l',
      '--',
      'sh',
      '-c',
      'echo running; trap "echo stopped; exit 0" TERM; while :; do sleep 0.1; done',
    )
    await until(() => loser.output().includes('running'))
    await client.session.destroy((await client.kv.get('cli/l')).value!.session)
    expect(await loser.ended).toBe(1)
    expect(loser.output()).toContain('stopped')
    expect(loser.output()).toContain('the lock cli/l was lost')
  })

  test('atoll watch: runs now and after each change', { timeout: 60_000 }, async () => {
    const directory = await mkdtemp(joinPath(tmpdir(), 'atoll-watch-'))
    try {
      const log = joinPath(directory, 'log')
      await writeFile(log, '')
      await client.kv.put('w/a', '1')
      const watching = atoll('watch', 'keys', 'w/', '--', 'sh', '-c', `cat >> ${log}`)
      const lines = async () => (await readFile(log, 'utf8')).split('\n').filter((line) => line !== '')
      await until(async () => (await lines()).length === 1)
      await client.kv.put('w/b', '2')
      await until(async () => (await lines()).length === 2)
      expect(JSON.parse((await lines())[1]!).map((row: { Key: string }) => row.Key)).toEqual(['w/a', 'w/b'])
      process.kill(watching.child.pid!, 'SIGTERM')
      expect(await watching.ended).toBe(0)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })

  test('atoll snapshot: saves, inspects and restores', { timeout: 60_000 }, async () => {
    const directory = await mkdtemp(joinPath(tmpdir(), 'atoll-snapshot-'))
    try {
      const file = joinPath(directory, 'eu-1.snap')
      await client.kv.put('snap/a', 'before')
      const saved = atoll('snapshot', 'save', file)
      expect(await saved.ended).toBe(0)
      expect(saved.output()).toContain('datacenter eu-1')
      await client.kv.put('snap/a', 'after')
      const index = (await client.kv.get('snap/a')).meta.index
      expect(await atoll('snapshot', 'restore', file).ended).toBe(0)
      const { value, meta } = await client.kv.get('snap/a')
      expect(new TextDecoder().decode(value!.value)).toBe('before')
      expect(meta.index).toBeGreaterThan(index)
      const bytes = await readFile(file)
      bytes[bytes.length >> 1]! ^= 1
      await writeFile(file, bytes)
      const inspected = atoll('snapshot', 'inspect', file)
      expect(await inspected.ended).toBe(1)
      expect(inspected.output()).toContain('error:')
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})
