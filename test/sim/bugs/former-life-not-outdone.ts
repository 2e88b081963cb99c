import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about:
    'A gateway whose clock went back between two starts does not rise above its former life: nothing it says is new.',
  withinSeeds: 40,
  edits: [{ file: 'publisher.ts', find: 'this.#boot = stamp.boot + 1', replace: 'this.#news()' }],
}
