import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { pinoLogger } from './logger.ts'
import { currentRuntime } from './runtime.ts'

const { disk, tcpProbe, memoryBytes, name, version } = await currentRuntime()
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test('the runtime knows itself', () => {
  expect(['node', 'deno', 'bun']).toContain(name)
  expect(version).toMatch(/^\d+\.\d+/)
  expect(memoryBytes()).toBeGreaterThan(10_000_000)
})

describe('disk', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(disk.join(tmpdir(), 'atoll-disk-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  test('reads what was written, replaces it whole, and lists no temporary files', async () => {
    const path = disk.join(folder, 'a')
    expect(await disk.read(path)).toBeUndefined()
    await disk.writeAtomic(path, bytes('one, longer'))
    await disk.writeAtomic(path, bytes('two'))
    expect(await disk.read(path)).toEqual(bytes('two'))
    expect(await disk.list(folder)).toEqual(['a'])
  })

  test('removes what a process left that was killed while it wrote', async () => {
    const left = disk.join(folder, '.a.3.tmp')
    await writeFile(left, 'half')
    await disk.writeAtomic(disk.join(folder, 'a'), bytes('whole'))
    await disk.removeTemporary(folder)
    await disk.removeTemporary(disk.join(folder, 'not there'))
    expect(await readdir(folder)).toEqual(['a'])
  })

  test('writes at the same time leave one of them whole', async () => {
    const path = disk.join(folder, 'a')
    const texts = Array.from({ length: 20 }, (_, i) => `${i}`.repeat(1000))
    await Promise.all(texts.map((text) => disk.writeAtomic(path, bytes(text))))
    expect(texts).toContain(new TextDecoder().decode(await disk.read(path)))
    expect(await disk.list(folder)).toEqual(['a'])
  })

  test('a failed write leaves the old content and nothing else', async () => {
    const path = disk.join(folder, 'a')
    await disk.makeDirectory(disk.join(path, 'in the way'))
    await expect(disk.writeAtomic(path, bytes('x'))).rejects.toThrow()
    expect(await disk.list(folder)).toEqual(['a'])
  })

  test('keeps the mode, also over a file that had another', async () => {
    const path = disk.join(folder, 'key')
    await disk.writeAtomic(path, bytes('x'))
    await disk.writeAtomic(path, bytes('y'), { mode: 0o600 })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })

  test.skipIf(process.platform !== 'linux')('fails where no folder can be made', async () => {
    await expect(disk.makeDirectory('/proc/nowhere/a')).rejects.toThrow('no folder can be made here')
  })

  test('makes folders in depth, removes what is there or not', async () => {
    const path = disk.join(folder, 'a', 'b')
    await disk.makeDirectory(path)
    await disk.makeDirectory(path)
    await disk.remove(disk.join(folder, 'a'))
    await disk.remove(disk.join(folder, 'a'))
    expect(await disk.list(folder)).toEqual([])
    expect(await disk.list(path)).toEqual([])
  })
})

describe('tcpProbe', () => {
  test('resolves where somebody listens and rejects where nobody does', async () => {
    const server = createServer((socket) => socket.end())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    await tcpProbe({ host: '127.0.0.1', port, timeoutMs: 10_000 })
    await new Promise((resolve) => server.close(resolve))
    await expect(tcpProbe({ host: '127.0.0.1', port, timeoutMs: 10_000 })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(`127.0.0.1:${port}`),
    })
  })

  test('rejects when its signal aborts, and in time', async () => {
    const aborted = AbortSignal.abort(new Error('enough'))
    await expect(tcpProbe({ host: '127.0.0.1', port: 1, timeoutMs: 10_000, signal: aborted })).rejects.toThrow('enough')
    // A documentation address (RFC 5737): packets go nowhere, or there is no route at all.
    await expect(tcpProbe({ host: '192.0.2.1', port: 9, timeoutMs: 50 })).rejects.toMatchObject({
      code: expect.stringMatching(/^(timeout|unavailable)$/),
    })
  })
})

describe('pinoLogger', () => {
  const capture = (): { lines: string[]; destination: { write(line: string): void } } => {
    const lines: string[] = []
    return { lines, destination: { write: (line) => void lines.push(line) } }
  }

  test('writes one object per line, with level, name, message, fields, and the fields of the parent', () => {
    const { lines, destination } = capture()
    const logger = pinoLogger({ name: 'n1', destination })
    logger.debug({}, 'hidden')
    logger.child({ part: 'store' }).warn({ revision: 3, error: new Error('why') }, 'slow')
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0]!)).toMatchObject({
      level: 'warn',
      name: 'n1',
      part: 'store',
      revision: 3,
      msg: 'slow',
      error: { message: 'why' },
    })
  })

  test('writes lines for people', () => {
    const { lines, destination } = capture()
    pinoLogger({ level: 'debug', name: 'n1', format: 'line', destination }).info({ dc: 'eu-1', why: 'a b' }, 'joined')
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}n1 joined dc=eu-1 why="a b"\n$/)
  })
})
