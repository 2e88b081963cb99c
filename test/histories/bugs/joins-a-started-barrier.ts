import type { Bug } from '../planted.ts'

export const bug: Bug = {
  about:
    'a read waits for the barrier that is under way already, which need not cover what was acknowledged since it began',
  store: 'etcd',
  edits: [
    {
      file: 'catalog/open.ts',
      find: 'if (!this.#barrier) return this.#begin()',
      replace: 'return this.#barrier ?? this.#begin()',
    },
  ],
}
