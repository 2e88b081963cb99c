import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about: 'A replica that was on disk goes on behind the next revision, which it never got.',
  withinSeeds: 20,
  edits: [
    { file: 'replica.ts', find: 'this.#revision = saved.revision', replace: 'this.#revision = saved.revision + 1' },
  ],
}
