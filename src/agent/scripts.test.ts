import { expect, it } from 'vitest'
import type { LocalCheckDefinition } from '../model/local.ts'
import type { RunCommand } from '../runtime/probes.ts'
import { Backends, probesOf, startWorld, ttl } from './testing/harness.ts'

const script = (checkId: string, more: Partial<LocalCheckDefinition> = {}): LocalCheckDefinition => {
  const { ttlMs: _, ...rest } = ttl(checkId, { type: 'script', intervalMs: 10_000, timeoutMs: 30_000, ...more })
  return { ...rest, script: { args: ['true'] } }
}
const docker = (checkId: string): LocalCheckDefinition => {
  const { script: _, ...rest } = script(checkId)
  return { ...rest, docker: { containerId: 'c', args: ['true'] } }
}
const nothing = { services: [], checks: [] }
const file = { services: [], checks: [script('of-file', { fromFile: true })] }

it('commands are run for nobody unless the node says so, for its files, or for all', async () => {
  for (const [scripts, api, files] of [
    [undefined, false, false],
    ['off', false, false],
    ['local', false, true],
    ['on', true, true],
  ] as const) {
    const { agent, run } = await startWorld({ ...(scripts && { scripts }) })
    const taken = (change: Promise<void>) =>
      run(change).then(
        () => true,
        (error) => {
          expect(error).toMatchObject({ code: 'forbidden', message: expect.stringContaining('Scripts are disabled') })
          return false
        },
      )
    expect([
      scripts,
      await taken(agent.registerCheck(script('s'))),
      await taken(agent.registerCheck(docker('d'))),
    ]).toEqual([scripts, api, api])
    expect(await taken(agent.applyDefinitions(file))).toBe(files)
    await run(agent.applyDefinitions(nothing))
    await agent.stop()
  }
})

it('a command that was kept is not run any more by a node that no longer allows it', async () => {
  let runs = 0
  const command: RunCommand = async () => {
    runs++
    return { exitCode: 0, output: new Uint8Array(), outputBytes: 0 }
  }
  const world = await startWorld({ scripts: 'on', probes: { ...probesOf(new Backends().probe), command } })
  await world.run(world.agent.registerCheck(script('s')))
  expect([runs, world.agent.checks()[0]?.status]).toEqual([1, 'passing'])
  await world.restart({ scripts: 'off' })
  await world.clock.advance(60_000)
  expect(runs).toBe(1)
  expect(world.log).toContainEqual(
    expect.objectContaining({ level: 'warn', message: 'a check that was kept is not run' }),
  )
  await world.restart({ scripts: 'on' })
  await world.clock.advance(60_000)
  expect(runs).toBeGreaterThan(3)
  await world.agent.stop()
})
