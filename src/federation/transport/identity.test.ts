import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { systemDisk } from '../../runtime/disk.ts'
import { systemRandom } from '../../runtime/random.ts'
import { freshIdentity, loadIdentity } from './identity.ts'

const folders: string[] = []
const folder = async (): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'atoll-identity-'))
  folders.push(path)
  return path
}
afterEach(async () => {
  for (const path of folders.splice(0)) await rm(path, { recursive: true })
})
const load = (directory: string) => loadIdentity({ disk: systemDisk, directory, random: systemRandom })

describe('identity', () => {
  it('is the same each time, in a file that only its owner reads', async () => {
    const directory = join(await folder(), 'data')
    const first = await load(directory)
    const again = await load(directory)
    expect(again.publicKey).toEqual(first.publicKey)
    expect(again.sign(Uint8Array.of(1))).toEqual(first.sign(Uint8Array.of(1)))
    expect((await stat(join(directory, 'identity.key'))).mode & 0o777).toBe(0o600)
  })

  it('is not made anew over a damaged file', async () => {
    const directory = await folder()
    await systemDisk.writeAtomic(join(directory, 'identity.key'), new Uint8Array(31))
    await expect(load(directory)).rejects.toMatchObject({ code: 'invalid', field: 'dataDirectory' })
  })

  it('differs from fresh to fresh', () => {
    expect(freshIdentity(systemRandom).publicKey).not.toEqual(freshIdentity(systemRandom).publicKey)
  })
})
