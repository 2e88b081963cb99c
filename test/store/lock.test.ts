import { expect, test } from 'vitest'
import { currentRuntime } from '../../src/runtime/runtime.ts'
import { openEmbedded } from '../../src/store/embedded/embedded.ts'
import { childCommand, start, temporaryFolder } from './support.ts'

const { clock, random } = await currentRuntime()

test('a second process is refused at once, whoever was first, and let in when the first is gone', async () => {
  const path = await temporaryFolder()
  const store = await openEmbedded({ path, clock, random })
  const second = start(childCommand('open', path))
  const refused = await second.line(/^(refused|opened)/)
  expect(refused).toContain('refused locked ')
  expect(refused).toContain(path)
  await second.exited
  await store.txn({ then: [{ put: 'a', value: new Uint8Array(1) }] })
  await store.close()

  const first = start(childCommand('many', path, '0', '1'))
  await first.line(/^ack /)
  await expect(openEmbedded({ path, clock, random })).rejects.toMatchObject({ code: 'locked' })
  first.process.kill('SIGKILL')
  await first.exited
  await (await openEmbedded({ path, clock, random })).close()
})
