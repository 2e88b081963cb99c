/** Holds the house's rules true: who may import whom, who may touch clocks, and how large a room may grow. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((name) => name.endsWith('.ts'))
}

const production = sources('src').filter((file) => !/\.(test|d)\.ts$/.test(file) && !file.includes('/testing/'))

/** Relative imports of a file, as paths from the project's root. */
function importsOf(file: string): { path: string; typeOnly: boolean }[] {
  const text = readFileSync(join(root, file), 'utf8')
  const found: { path: string; typeOnly: boolean }[] = []
  for (const match of text.matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'(\.[^']+)'/gm)) {
    found.push({ path: relative(root, resolve(root, dirname(file), match[2]!)), typeOnly: match[1] !== undefined })
  }
  for (const match of text.matchAll(/import\(\s*'(\.[^']+)'\s*\)/g)) {
    found.push({ path: relative(root, resolve(root, dirname(file), match[1]!)), typeOnly: false })
  }
  return found
}

/** What each folder may import beside itself: whole folders, or single contract files. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  model: [],
  runtime: ['model'],
  store: ['model', 'runtime/ports.ts'],
  catalog: ['model', 'runtime/ports.ts', 'store/store.ts'],
  federation: ['model', 'runtime/ports.ts'],
  agent: ['model', 'runtime/ports.ts', 'runtime/probes.ts'],
  'consul-config': ['model'],
  resolver: [
    'model',
    'runtime/ports.ts',
    'catalog/catalog.ts',
    'catalog/txn.ts',
    'catalog/view.ts',
    'federation/federation.ts',
  ],
  http: ['model', 'runtime/ports.ts', 'resolver', 'catalog/catalog.ts', 'catalog/txn.ts', 'catalog/view.ts'],
  dns: ['model', 'runtime/ports.ts', 'resolver'],
  client: [],
  cli: ['client'],
  ui: ['client'],
}

const folderOf = (file: string): string => file.split('/')[1]!

describe('imports point down only', () => {
  for (const [folder, allowed] of Object.entries(MAY_IMPORT)) {
    it(`${folder} imports ${allowed.length === 0 ? 'nothing of the others' : allowed.join(', ')}`, () => {
      const wrong: string[] = []
      for (const file of production.filter((name) => name.startsWith(`src/${folder}/`))) {
        for (const { path } of importsOf(file)) {
          const target = path.replace(/^src\//, '')
          if (target === 'package.json') continue
          const inside = target.startsWith(`${folder}/`)
          const granted = allowed.some((name) => target === name || target.startsWith(`${name}/`))
          const agentCommand =
            (file === 'src/cli/agent.ts' && target === 'node.ts') ||
            (file === 'src/cli/store-members.ts' && target === 'node/store-members.ts') ||
            (file === 'src/cli/store-migrate.ts' && target === 'node/migrate-store.ts') ||
            (file === 'src/cli/agent-config.ts' && (target === 'config.ts' || target.startsWith('consul-config/'))) ||
            (file === 'src/cli/consul-files.ts' && target === 'consul-config/hcl.ts')
          if (!inside && !granted && !agentCommand) wrong.push(`${file} -> ${target}`)
        }
      }
      expect(wrong).toEqual([])
    })
  }

  it('nothing but the entry points imports node.ts', () => {
    const importers = production.filter((file) => importsOf(file).some(({ path }) => path === 'src/node.ts'))
    expect(importers.filter((file) => !['src/main.ts', 'src/cli/agent.ts'].includes(file))).toEqual([])
  })

  it('no folder knows of topology/ or test/', () => {
    const wrong = production.filter((file) => importsOf(file).some(({ path }) => /^(topology|test)\//.test(path)))
    expect(wrong).toEqual([])
  })
})

describe('clocks, timers and randomness come through the ports', () => {
  const forbidden =
    /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bperformance\.now\b|\bset(?:Timeout|Interval)\s*\(|\bcrypto\.random|\brandomUUID\b|\brandomBytes\b/
  it('outside of runtime/, client/, ui/ and topology/', () => {
    const free = ['runtime', 'client', 'ui']
    const wrong = production
      .filter((file) => !free.includes(folderOf(file)))
      .flatMap((file) =>
        readFileSync(join(root, file), 'utf8')
          .split('\n')
          .map((line, i) => ({ line, at: `${file}:${i + 1}` }))
          .filter(({ line }) => !/^\s*(?:\/\/|\*|\/\*)/.test(line) && forbidden.test(line))
          .map(({ at }) => at),
      )
    expect(wrong).toEqual([])
  })
})

describe('rooms', () => {
  it('no file has outgrown its concern', () => {
    const large = [...production, ...sources('topology')]
      .map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length }))
      .filter(({ lines }) => lines > 500)
    expect(large).toEqual([])
  })

  it('no catch-all rooms', () => {
    expect(production.filter((file) => /(?:^|\/)(?:utils?|helpers?|misc|common)(?:\.ts|\/)/.test(file))).toEqual([])
  })

  it('no error is matched by its text', () => {
    // Deno's node:sqlite often gives no error code, and its fetch none at all: there the text is all there is.
    // database.ts only looks whether a message names its path already.
    const withReason = [
      'src/store/embedded/sqlite-errors.ts',
      'src/client/transport.ts',
      'src/store/embedded/database.ts',
    ]
    const matched = /\.message\s*(?:===|==|\.includes|\.match|\.startsWith)|\.test\(\s*\w+\.message/
    const wrong = production.filter(
      (file) => !withReason.includes(file) && matched.test(readFileSync(join(root, file), 'utf8')),
    )
    expect(wrong).toEqual([])
  })

  it('no test is left focused or skipped without a word', () => {
    const tests = [...sources('src'), ...sources('test'), ...sources('topology')].filter((file) =>
      file.endsWith('.test.ts'),
    )
    const focused = tests.filter(
      (file) =>
        /\b(?:it|describe|test)\.only\(/.test(readFileSync(join(root, file), 'utf8')) && !file.endsWith('tidy.test.ts'),
    )
    expect(focused).toEqual([])
  })
})
