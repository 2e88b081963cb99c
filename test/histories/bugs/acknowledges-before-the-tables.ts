import type { Bug } from '../planted.ts'

export const bug: Bug = {
  about: 'a write is acknowledged when it is on disk, a moment before the tables hold it',
  store: 'embedded',
  edits: [
    {
      file: 'store/embedded/embedded.ts',
      find: 'this.#watches.deliver(position.revision, events)',
      replace: 'setTimeout(() => this.#watches.deliver(position.revision, events), 5)',
    },
    { file: 'catalog/execute.ts', find: 'if (behind) await this.#catchUp(behind, result, plan, command)', replace: '' },
  ],
}
