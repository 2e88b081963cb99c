import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about: 'A server whose disk was rolled back goes on in the epoch that others know further.',
  withinSeeds: 40,
  edits: [
    {
      file: 'own-standing.ts',
      find: "return head.revision > own.revision ? 'rolled-back' : 'behind'",
      replace: "return 'behind'",
    },
  ],
}
