/** `atoll store migrate`: both ends of it, and what of a datacenter goes along. */
import { realpath } from 'node:fs/promises'
import { GENERAL_MARKS } from '../catalog/archive.ts'
import { isSaved } from '../catalog/snapshot.ts'
import { parseConfig } from '../config.ts'
import { AtollError, isAtollError } from '../model/errors.ts'
import { silentLogger } from '../runtime/logger.ts'
import { currentRuntime } from '../runtime/runtime.ts'
import { type Migrated, type MigrationSource, migrate } from '../store/migration.ts'
import { type MigrationEnd, openMigrationSource, openMigrationTarget, type StoreSettings } from '../store/open.ts'
import { StoreError } from '../store/store.ts'

export interface MigrateOptions {
  /** A server's data directory, or an address as of `store.url`. */
  readonly from: string
  readonly to: string
  readonly datacenter: string
  /** User, password and certificates of etcd, on whichever side it is. */
  readonly etcd: Pick<StoreSettings, 'user' | 'password' | 'tls'>
  /** Told of the number of entries copied so far. */
  readonly onProgress?: (entries: number) => void
}

export interface MigrateReport extends Migrated {
  readonly from: { readonly place: string; readonly generation: number; readonly revision: number }
  readonly to: { readonly place: string }
}

/**
 * What goes along is what a snapshot holds. Rejects with AtollError 'invalid' for what the options get wrong, and with StoreError
 * for what the stores refuse.
 */
export async function migrateStore(options: MigrateOptions): Promise<MigrateReport> {
  const { clock, random, disk, boundGarbage } = await currentRuntime()
  const { store, datacenter } = parseConfig({
    server: true,
    datacenter: options.datacenter,
    dataDirectory: '.',
    store: options.etcd,
  })
  const common = { settings: store, datacenter, clock, random, disk, logger: silentLogger }
  const ends = { from: endOf(options.from), to: endOf(options.to) }
  await assertApart(ends.from, ends.to)
  const source = await named('--from', openMigrationSource(ends.from, common))
  const garbage = boundGarbage?.()
  try {
    const target = await named('--to', openMigrationTarget(ends.to, common))
    try {
      const { onProgress } = options
      const migrated = await migrate({ source, target, wants: isSaved, marks: GENERAL_MARKS, onProgress })
      return { ...migrated, from: positionOf(source), to: { place: target.place } }
    } finally {
      await target.close()
    }
  } finally {
    garbage?.cancel()
    await source.close()
  }
}

const positionOf = ({ place, epoch, revision }: MigrationSource) => ({ place, generation: epoch.generation, revision })

/** A managed etcd only runs beneath servers, and beneath these the store must be at rest. */
function endOf(text: string): MigrationEnd {
  if (text === 'etcd:managed') {
    throw new AtollError(
      'invalid',
      'etcd:managed runs with its servers only; move to or from it by: atoll snapshot save and restore',
    )
  }
  return /^\w+:\/\//.test(text) ? { url: text } : { directory: `${text}/store` }
}

async function assertApart(from: MigrationEnd, to: MigrationEnd): Promise<void> {
  const [a, b] = await Promise.all([from, to].map((end) => ('url' in end ? end.url : realPath(end.directory))))
  if (a === b) throw new StoreError('invalid', `--from and --to are the same store, ${a}`)
}

const realPath = (path: string): Promise<string> => realpath(path).catch(() => path)

/** An address that is wrong is the flag's fault. */
async function named<T>(flag: string, opening: Promise<T>): Promise<T> {
  try {
    return await opening
  } catch (error) {
    if (isAtollError(error)) throw new AtollError(error.code, `${flag}: ${error.message}`, { cause: error })
    throw error
  }
}
