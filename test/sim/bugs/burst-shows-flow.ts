import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about: 'What comes right behind a message that was held up is taken for news of this moment.',
  withinSeeds: 80,
  edits: [{ file: 'freshness.ts', find: 'if (nowMs >= this.#burstUntilMs) this', replace: 'this' }],
}
