import { describe, expect, it } from 'vitest'
import { type MemberFile, nextToRewrite } from './defragmentation.ts'

const MB = 1024 * 1024
const member = (id: string, sizeMb: number, usedMb: number, more: Partial<MemberFile> = {}): MemberFile => ({
  id,
  learner: false,
  file: { leads: id === 'a', sizeBytes: sizeMb * MB, usedBytes: usedMb * MB },
  ...more,
})
const steady = member('c', 200, 180)

describe('whose file is rewritten next', () => {
  it.each([
    ['a follower whose file is half free', [member('a', 100, 90), member('b', 100, 50), steady], 'b'],
    ['a follower before the leader', [member('a', 100, 10), member('b', 100, 10), steady], 'b'],
    ['the leader when it alone is left', [member('a', 100, 10), member('b', 70, 60), steady], 'a'],
    ['nobody while files are small', [member('a', 63, 1), member('b', 50, 1), steady], undefined],
    ['nobody while most is used', [member('a', 100, 51), member('b', 900, 500), steady], undefined],
    [
      'nobody while one does not answer',
      [member('a', 100, 1), member('b', 100, 1, { file: undefined }), steady],
      undefined,
    ],
    ['nobody while one catches up', [member('a', 100, 1), member('b', 100, 1, { learner: true }), steady], undefined],
  ])('%s', (_, members, next) => {
    expect(nextToRewrite(members, 'a')).toBe(next)
  })

  it('is for the leader alone to say, and for nobody where two say that they lead', () => {
    const members = [member('a', 100, 10), member('b', 100, 10), steady]
    expect(nextToRewrite(members, 'b')).toBeUndefined()
    const alsoLeads = member('b', 100, 10, { file: { leads: true, sizeBytes: 100 * MB, usedBytes: MB } })
    expect(nextToRewrite([members[0]!, alsoLeads, steady], 'a')).toBeUndefined()
  })
})
