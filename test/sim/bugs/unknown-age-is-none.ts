import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about: 'A replica whose age nobody can tell, being a copy that another node gave, says that it has none.',
  withinSeeds: 40,
  edits: [
    {
      file: 'replica.ts',
      find: 'return Math.max(0, nowMs - this.#stoodMs)',
      replace: 'return Number.isFinite(this.#stoodMs) ? Math.max(0, nowMs - this.#stoodMs) : 0',
    },
  ],
}
