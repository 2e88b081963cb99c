import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about: 'A snapshot without entries is taken for the truth, as if nothing were exported any more.',
  withinSeeds: 40,
  edits: [
    {
      file: 'replica.ts',
      find: 'if (!equalBytes(transfer.content.root(), head.digest))',
      replace: 'if (transfer.content.size > 0 && !equalBytes(transfer.content.root(), head.digest))',
    },
  ],
}
