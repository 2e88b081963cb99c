import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about: 'The deletions of a delta are verified, and then not carried out.',
  withinSeeds: 20,
  edits: [
    {
      file: 'content.ts',
      find: 'return matches ? changes.map((change) => this.apply(change)) : undefined',
      replace: 'return matches ? changes.filter(isEntry).map((change) => this.apply(change)) : undefined',
    },
  ],
}
