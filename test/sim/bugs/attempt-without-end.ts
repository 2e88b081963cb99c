import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about: 'An attempt that nobody answers is waited for without end.',
  withinSeeds: 40,
  edits: [
    {
      file: 'replica.ts',
      find: 'if (running && nowMs - running.progressMs >= this.#options.attemptTimeoutMs) {',
      replace: 'if (running && nowMs - running.progressMs === Number.POSITIVE_INFINITY) {',
    },
  ],
}
