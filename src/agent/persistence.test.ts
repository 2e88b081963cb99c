import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { systemDisk } from '../runtime/disk.ts'
import { FOLDER, http, service, startWorld, ttl, type World } from './testing/harness.ts'

const KEEP = { replaceExistingChecks: false }
const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

const statuses = ({ agent }: World) =>
  Object.fromEntries(
    agent.checks().map(({ definition, status, output }) => [definition.checkId, `${status} ${output}`]),
  )

test('services, checks, maintenance and health survive a restart', async () => {
  const world = await startWorld()
  const { agent, run, clock, backends, catalog } = world
  const full = service('web', {
    tags: ['a', 'b'],
    meta: { k: 'v' },
    taggedAddresses: { wan: { address: 'w', port: 1 } },
    proxy: { Mode: 'x' },
    failover: false,
    checks: [http('h'), ttl('t', { notes: 'a note' })],
  })
  await run(agent.registerService(full, KEEP))
  await run(agent.registerCheck(ttl('of-node', { ttlMs: 1e9 })))
  await run(agent.updateTtl('of-node', 'warning', 'so so'))
  await run(agent.setServiceMaintenance('web', true, 'why'))
  await run(agent.setNodeMaintenance(true, ''))
  await run(agent.updateTtl('t', 'passing', 'good'))
  const [services, checks] = [agent.services(), agent.checks()]
  const asked = backends.asked
  await world.restart()
  expect(world.agent.services()).toEqual(services)
  const byId = (list: typeof checks) => Object.fromEntries(list.map((check) => [check.definition.checkId, check]))
  expect(byId(world.agent.checks())).toEqual(byId(checks))
  expect(statuses(world)).toMatchObject({ h: expect.stringContaining('passing'), t: 'passing good' })
  // Nothing turned on the way, and all goes on as before.
  expect(catalog.checks.get('h')?.status).toBe('passing')
  await clock.advance(20_000)
  expect(backends.asked).toBeGreaterThan(asked)
  expect(statuses(world).t).toContain('TTL expired')
  await world.agent.stop()
})

test('a TTL that lapsed while the agent was away is critical, one that did not goes on', async () => {
  const world = await startWorld()
  await world.run(world.agent.registerCheck(ttl('short', { ttlMs: 5000 })))
  await world.run(world.agent.registerCheck(ttl('long', { ttlMs: 60_000 })))
  await world.run(world.agent.updateTtl('short', 'passing', 'was fine'), 0)
  await world.run(world.agent.updateTtl('long', 'passing', 'is fine'), 0)
  await world.agent.stop()
  await world.clock.advance(6000)
  await world.restart()
  expect(statuses(world)).toEqual({
    short: 'critical TTL expired (last output before timeout follows): was fine',
    long: 'passing is fine',
  })
})

test('what was deregistered stays gone, also when the removal of its file was undone', async () => {
  const world = await startWorld()
  const remove = world.disk.remove.bind(world.disk)
  await world.run(world.agent.registerService(service('web', { checks: [ttl('a')] }), KEEP))
  await world.run(world.agent.registerCheck(ttl('b')))
  world.disk.remove = () => Promise.resolve()
  await world.run(world.agent.deregisterService('web'))
  await world.run(world.agent.deregisterCheck('b'))
  world.disk.remove = remove
  await world.restart()
  expect([world.agent.services(), world.agent.checks()]).toEqual([[], []])
  await world.agent.stop()
  expect([...world.disk.files.keys()]).toEqual([`${FOLDER}/check-status.json`])
})

test('a damaged file is moved aside and named, the rest loads', async () => {
  const world = await startWorld()
  for (const id of ['one', 'two', 'three']) await world.run(world.agent.registerService(service(id), KEEP))
  await world.run(world.agent.registerCheck(ttl('c', { ttlMs: 1e9 })))
  await world.run(world.agent.updateTtl('c', 'passing', ''))
  await world.agent.stop()
  const { files } = world.disk
  const encode = (text: string) => new TextEncoder().encode(text)
  files.set(`${FOLDER}/service-one.json`, encode('{"version":1,"kind":"service","ser'))
  files.set(`${FOLDER}/service-two.json`, encode('{"version":1,"kind":"service","service":{"id":7},"checks":[]}'))
  files.set(`${FOLDER}/service-later.json`, encode('{"version":99}'))
  files.set(`${FOLDER}/check-status.json`, new Uint8Array([0xff, 0xfe]))
  files.set(`${FOLDER}/notes.txt`, encode('not ours'))
  await world.restart()
  expect(world.agent.services().map(({ id }) => id)).toEqual(['three'])
  expect(statuses(world)).toEqual({ c: 'critical ' })
  const warned = world.log.filter(({ level }) => level === 'warn').map(({ fields }) => fields.file)
  expect(warned.sort()).toEqual(
    ['check-status', 'service-later', 'service-one', 'service-two'].map((name) => `${FOLDER}/${name}.json`),
  )
  expect(files.has(`${FOLDER}/service-one.json.damaged`)).toBe(true)
  expect(files.has(`${FOLDER}/service-one.json`)).toBe(false)
  expect(files.has(`${FOLDER}/service-later.json`)).toBe(true)
  expect(files.has(`${FOLDER}/notes.txt`)).toBe(true)
})

test('ids of any kind have files of their own', async () => {
  const world = await startWorld()
  const ids = ['a/b', 'a:b', '../../etc/passwd', 'ü', '__proto__', 'x'.repeat(500), `${'x'.repeat(499)}y`, '.']
  for (const id of ids) {
    await world.run(world.agent.registerService(service(id, { checks: [ttl(`of ${id}`)] }), KEEP))
    await world.run(world.agent.registerCheck(ttl(id)))
  }
  await world.run(world.agent.updateTtl('__proto__', 'passing', 'there'))
  expect([...world.disk.files.keys()].every((path) => /^data\/agent\/[a-z0-9._-]+\.json$/.test(path))).toBe(true)
  await world.restart()
  expect(
    world.agent
      .services()
      .map(({ id }) => id)
      .sort(),
  ).toEqual([...ids].sort())
  expect(world.agent.checks()).toHaveLength(2 * ids.length)
  const proto = world.agent.checks().find(({ definition }) => definition.checkId === '__proto__')
  expect(proto).toMatchObject({ status: 'passing', output: 'there' })
  for (const id of ids) await world.run(world.agent.deregisterService(id))
  await world.restart()
  expect(world.agent.services()).toEqual([])
})

test('a check that moves to another service is kept once', async () => {
  const world = await startWorld()
  for (const id of ['a', 'b']) await world.run(world.agent.registerService(service(id), KEEP))
  for (const serviceId of ['a', 'b', '', 'a']) {
    await world.run(world.agent.registerCheck(ttl('c', { serviceId })))
    await world.restart()
    expect(world.agent.checks().map(({ definition }) => definition.serviceId)).toEqual([serviceId])
    expect(world.catalog.checks.get('c')?.serviceId).toBe(serviceId)
  }
  expect(world.log.filter(({ level }) => level === 'warn')).toEqual([])
})

test('to register the same again writes no definition, but asks the catalog', async () => {
  const { agent, catalog, clock, disk, run } = await startWorld()
  const web = service('web', { checks: [ttl('a', { ttlMs: 1e9 })] })
  await run(agent.registerService(web, KEEP))
  await run(agent.registerCheck(ttl('b', { ttlMs: 1e9 })))
  await clock.advance(5000)
  const written: string[] = []
  const writeAtomic = disk.writeAtomic.bind(disk)
  disk.writeAtomic = (path, data) => {
    written.push(path)
    return writeAtomic(path, data)
  }
  const syncs = catalog.syncs.length
  for (let i = 0; i < 5; i++) {
    await run(agent.registerService(web, KEEP))
    await run(agent.registerCheck(ttl('b', { ttlMs: 1e9 })))
  }
  await clock.advance(5000)
  expect(new Set(written)).toEqual(new Set([`${FOLDER}/check-status.json`]))
  expect(catalog.syncs.length - syncs).toBe(10)
  await run(agent.registerService({ ...web, port: 81 }, KEEP))
  expect(disk.text(`${FOLDER}/service-web.json`)).toContain('"port": 81')
})

test('health is written at most once a second, however often it is told', async () => {
  const { agent, clock, disk, run } = await startWorld()
  await run(agent.registerCheck(ttl('t')), 5000)
  const before = disk.writes
  for (let i = 0; i < 100; i++) await run(agent.updateTtl('t', i % 2 ? 'passing' : 'warning', String(i)), 30)
  await clock.advance(1000)
  expect(disk.writes - before).toBeLessThanOrEqual(5)
})

test('health that cannot be written is said once and written later', async () => {
  const { agent, clock, disk, run, log } = await startWorld()
  await run(agent.registerCheck(ttl('t', { ttlMs: 1e9 })), 5000)
  disk.failWith = new Error('input/output error')
  for (let i = 0; i < 20; i++) await run(agent.updateTtl('t', i % 2 ? 'passing' : 'critical', ''), 2000)
  expect(log.filter(({ message }) => message.includes('could not keep'))).toHaveLength(1)
  disk.failWith = undefined
  await clock.advance(11_000)
  expect(disk.text(`${FOLDER}/check-status.json`)).toContain('"status":"passing"')
})

test('on a real disk; without a folder nothing is kept; a folder that cannot be read stops the start', async () => {
  const root = await mkdtemp(join(tmpdir(), 'atoll-agent-'))
  folders.push(root)
  const options = { disk: systemDisk, dataDirectory: join(root, 'deep', 'agent') }
  const world = await startWorld(options)
  const registered = world.agent.registerService(service('web', { checks: [ttl('a')] }), KEEP)
  while (!world.catalog.services.has('web')) await world.clock.advance(0)
  await registered
  await world.restart()
  expect(world.agent.service('web')?.checks).toHaveLength(1)
  await world.restart({ dataDirectory: undefined })
  expect(world.agent.services()).toEqual([])
  await world.agent.stop()

  await systemDisk.writeAtomic(join(root, 'file'), new Uint8Array())
  await expect(startWorld({ ...options, dataDirectory: join(root, 'file') })).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('check its permissions'),
  })
})
