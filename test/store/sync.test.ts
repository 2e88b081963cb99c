/** System calls tell what kill -9 cannot: that a sync lies between each request and its acknowledgement. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { openEmbedded } from '../../src/store/embedded/embedded.ts'
import { childCommand, start, temporaryFolder, withoutStrace } from './support.ts'

const REQUESTS = 50
const { clock, random } = await currentRuntime()
const missing = withoutStrace()

describe.skipIf(missing !== undefined)(`system calls of the store${missing ? ` (${missing})` : ''}`, () => {
  test('a sync of the log lies between each request and its acknowledgement', { timeout: 60_000 }, async ({ task }) => {
    const folder = await temporaryFolder()
    const trace = join(folder, 'trace')
    const command = childCommand('sequence', join(folder, 'data'), String(REQUESTS))
    const child = start(['strace', '-f', '-y', '-e', 'trace=write,fsync,fdatasync', '-o', trace, ...command])
    await child.exited
    expect(child.lines.at(-1)).toBe('done')
    const steps = stepsOf(await readFile(trace, 'utf8'))
    for (let n = 0; n < REQUESTS; n++) {
      const request = steps.indexOf(`request ${n}`)
      const ack = steps.indexOf(`ack ${n}`)
      expect(request).toBeGreaterThanOrEqual(0)
      expect(steps.slice(request, ack + 1)).toEqual([`request ${n}`, 'sync', `ack ${n}`])
    }
    // For test/bench/durability.ts.
    Object.assign(task.meta, { requests: REQUESTS })
  })

  test.each([
    ['a sync that fails', 'fsync,fdatasync:error=EIO:when=20+', /^unknown-outcome$/],
    ['a disk that is full', 'pwrite64:error=ENOSPC:when=60+', /^disk-full$/],
    ['a write that fails', 'pwrite64:error=EIO:when=60+', /^(failed|unknown-outcome)$/],
  ])('%s stops the store, and loses nothing', { timeout: 60_000 }, async (_, injection, code) => {
    const path = join(await temporaryFolder(), 'data')
    const calls = injection.slice(0, injection.indexOf(':'))
    const command = childCommand('until-failure', path)
    const child = start([
      'strace',
      '-f',
      '-o',
      '/dev/null',
      '-e',
      `trace=${calls}`,
      '-e',
      `inject=${injection}`,
      ...command,
    ])
    await child.exited
    const acks = child.lines.filter((line) => line.startsWith('ack ')).length
    expect(acks).toBeGreaterThan(0)
    expect(child.lines.find((line) => line.startsWith('failed '))?.slice(7)).toMatch(code)
    expect(child.lines).toContain('then failed')
    expect(child.lines.find((line) => line.startsWith('status '))).toContain(path)

    const store = await openEmbedded({ path, clock, random })
    const { kvs } = await store.range('', '')
    await store.close()
    // The one whose outcome was unknown may be there.
    const keys = new Set(kvs.map(({ key }) => key))
    for (let n = 0; n < acks; n++) expect(keys).toContain(`k${n}`)
    expect(keys.size).toBeLessThanOrEqual(acks + 1)
  })
})

/** What was said and which syncs of the log were done, in order; several in a row count once. */
function stepsOf(trace: string): string[] {
  const steps: string[] = []
  const syncing = new Set<string>()
  for (const line of trace.split('\n')) {
    const thread = /^\d+/.exec(line)?.[0] ?? ''
    const said = /write\(1<[^>]*>, "((?:request|ack) \d+)\\n"/.exec(line)?.[1]
    if (said !== undefined) steps.push(said)
    const begins = /\bf(?:data)?sync\(\d+<[^>]*store\.db-wal>/.test(line)
    const whole = begins && line.endsWith('= 0')
    const resumed = / f(?:data)?sync resumed>.*= 0$/.test(line) && syncing.delete(thread)
    if (begins && line.includes('<unfinished')) syncing.add(thread)
    if ((whole || resumed) && steps.at(-1) !== 'sync') steps.push('sync')
  }
  return steps
}
