/** The files of docs/deploy are what they say: the command line takes their flags, and systemd the unit. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { command as agent } from '../../src/cli/agent.ts'
import { readGiven } from '../../src/cli/agent-config.ts'
import { parseCommand } from '../../src/cli/parse.ts'
import { type Config, parseConfig } from '../../src/config.ts'
import { onNode } from '../support/on-node.ts'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
const folder = join(root, 'docs/deploy')
const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
const filesLike = (pattern: RegExp): string[] => readdirSync(folder).filter((name) => pattern.test(name))

type Environment = Readonly<Record<string, string>>

/** As `atoll agent` would come to it. */
async function configOf(argv: readonly string[], env: Environment): Promise<Config> {
  const { flags, given } = parseCommand('agent', agent, argv, env)
  const context = { flags, given, io: { env } } as unknown as Parameters<typeof readGiven>[0]
  const { input } = await readGiven(context)
  return parseConfig(input)
}

/** What stands there has an effect: a variable that nobody reads would be forgotten. */
async function assertAllUsed(env: Environment, config: Config): Promise<void> {
  for (const variable of Object.keys(env)) {
    const { [variable]: _, ...others } = env
    const without = await configOf([], { ATOLL_DATA_DIR: '/var/lib/atoll', ...others }).catch(() => undefined)
    expect(without, variable).not.toEqual(config)
  }
}

describe('the unit', () => {
  const unit = read('atoll.service')
  const settingOf = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)![1]!

  test('starts what there is', () => {
    const [node, main, ...argv] = settingOf('ExecStart').split(' ')
    expect(argv).toEqual(['agent'])
    const below = (path: string): string => path.replace('/opt/atoll/', '')
    expect(existsSync(join(root, below(main!)))).toBe(true)
    expect(existsSync(join(root, below(node!)))).toBe(true)
    expect(existsSync(settingOf('Documentation').replace('file:///opt/atoll', root))).toBe(true)
  })

  test.each(filesLike(/\.env$/))('takes %s', async (name) => {
    const env = Object.fromEntries(
      read(name)
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => /^([A-Z_]+)=(\S+)$/.exec(line)!.slice(1) as [string, string]),
    )
    const [, key, value] = settingOf('Environment').split(/^(\w+)=/)
    const config = await configOf([], { ...env, [key!]: value! })
    expect(config).toMatchObject({ dataDirectory: '/var/lib/atoll', datacenter: 'eu-1', server: name !== 'client.env' })
    await assertAllUsed(env, config)
  })

  const systemd = onNode && spawnSync('systemd-analyze', ['--version']).status === 0
  test.skipIf(!systemd)(`is one to systemd${systemd ? '' : ' (once, on Node; with systemd)'}`, async () => {
    const temporary = await mkdtemp(join(tmpdir(), 'atoll-unit-'))
    try {
      const path = join(temporary, 'atoll.service')
      await writeFile(path, unit.replaceAll('/opt/atoll/node_modules/.bin/node', process.execPath))
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' })
      expect({ status, stderr: stderr.split('\n').filter((line) => line.includes('atoll')) }).toEqual({
        status: 0,
        stderr: [],
      })
      await writeFile(path, `${unit}\nRestartt=always\n`)
      expect(spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' }).stderr).toContain('Restartt')
    } finally {
      await rm(temporary, { recursive: true })
    }
  })
})

interface Service {
  readonly image: string
  readonly hostname: string
  readonly entrypoint?: readonly string[]
  readonly environment: Environment
  readonly volumes: readonly string[]
  readonly depends_on?: readonly string[] | Readonly<Record<string, unknown>>
  readonly build?: { readonly context: string; readonly dockerfile: string }
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}

describe.each(filesLike(/^compose.*\.yaml$/))('%s', (name) => {
  const { services, volumes } = parse(read(name), { merge: true }) as Compose
  const nodes = Object.entries(services).filter(([, { entrypoint }]) => entrypoint === undefined)

  test('runs nodes that the command line takes, and that find each other', async () => {
    const configs = await Promise.all(
      nodes.map(async ([host, { environment }]) => {
        const config = await configOf([], { ATOLL_DATA_DIR: '/var/lib/atoll', ...environment })
        await assertAllUsed(environment, config)
        expect(config.federation).toMatchObject({ host: '0.0.0.0', advertise: [host] })
        return config
      }),
    )
    expect(new Set(configs.map(({ datacenter }) => datacenter)).size).toBe(1)
    expect(new Set(configs.filter(({ server }) => server).map(({ store }) => store.url)).size).toBe(1)
    // All but the first join one that is there, and an etcd that is there.
    for (const [i, { federation, store }] of configs.entries()) {
      expect(federation.join.length > 0).toBe(i > 0)
      const hosts = [...federation.join, ...(/^etcd:\/\/(.+)$/.exec(store.url)?.[1]?.split(',') ?? [])]
      for (const host of hosts) expect(Object.keys(services)).toContain(host.split(':')[0])
    }
  })

  test('keeps what has to be kept, and builds from what is there', () => {
    const used = Object.values(services).flatMap((service) => service.volumes)
    expect(used.map((volume) => volume.split(':')[0]).sort()).toEqual(Object.keys(volumes).sort())
    expect(used.every((volume) => volume.endsWith(':/var/lib/atoll'))).toBe(true)
    for (const [host, { hostname, image, build, depends_on }] of Object.entries(services)) {
      expect({ hostname, image }).toEqual({ hostname: host, image: 'atoll' })
      const needed = Array.isArray(depends_on) ? depends_on : Object.keys(depends_on ?? {})
      for (const other of needed) expect(Object.keys(services)).toContain(other)
      if (build) expect(existsSync(join(folder, build.context, build.dockerfile))).toBe(true)
    }
    expect(Object.values(services).some(({ build }) => build)).toBe(true)
  })

  const etcd = onNode && spawnSync('etcd', ['--version']).status === 0
  test.skipIf(!etcd)(`gives etcd settings that it has${etcd ? '' : ' (once, on Node; with etcd)'}`, () => {
    const help = spawnSync('etcd', ['--help'], { encoding: 'utf8' })
    const known = new Set(`${help.stdout}${help.stderr}`.match(/--[a-z-]+/g))
    for (const { environment } of Object.values(services).filter(({ entrypoint }) => entrypoint)) {
      const flags = Object.keys(environment).map((name) =>
        name
          .replace(/^ETCD_/, '--')
          .replaceAll('_', '-')
          .toLowerCase(),
      )
      for (const flag of flags) expect(known).toContain(flag)
    }
  })
})

test('the image has what it starts, as the unit does', () => {
  const dockerfile = read('Dockerfile')
  const entrypoint = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)![1]!) as string[]
  expect(read('atoll.service')).toContain(`ExecStart=${entrypoint.join(' ')} agent`)
  const copied = [...dockerfile.matchAll(/^COPY (.*) \S+$/gm)].flatMap(([, paths]) => paths!.split(' '))
  expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([])
  expect(copied).toContain('src')
})
