import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about: 'A head of an older epoch counts as one of the epoch that is followed.',
  fromSeed: 100,
  withinSeeds: 60,
  edits: [{ file: 'newest.ts', find: "if (order === 'older') return false", replace: '' }],
}
