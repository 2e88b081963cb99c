import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about: 'A replica that was on disk goes on behind the next revision, which it never got.',
  withinSeeds: 20,
  edits: [
    {
      file: 'replica.ts',
      find: 'return this.#install({ content, epoch, revision, proven, stoodMs: undefined })',
      replace: 'return this.#install({ content, epoch, revision: revision + 1, proven, stoodMs: undefined })',
    },
  ],
}
