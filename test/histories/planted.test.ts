import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { bugNames, loadBug, withBug } from './planted.ts'

it.each(bugNames())('the planted bug %s fits the sources as they are', async (name) => {
  const sources = await withBug(await loadBug(name), async (folder) => {
    expect(existsSync(join(folder, 'src/main.ts'))).toBe(true)
    return folder
  })
  expect(existsSync(sources)).toBe(false)
})
