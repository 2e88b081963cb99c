import type { Bug } from '../planted.ts'

export const bug: Bug = {
  about: 'a server answers default reads from its tables as they are',
  store: 'etcd',
  edits: [
    {
      file: 'catalog/open.ts',
      find: 'if (this.#failure && !this.#frozen) return Promise.reject(this.#failure)',
      replace: 'if (!this.#closed) return undefined',
    },
  ],
}
