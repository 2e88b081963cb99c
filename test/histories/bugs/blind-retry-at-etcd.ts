import type { Bug } from '../planted.ts'

export const bug: Bug = {
  about: 'a server that gets no answer from etcd sends a transaction again under another slot',
  store: 'etcd',
  edits: [
    {
      file: 'store/etcd/committer.ts',
      find: 'if (error instanceof CallError && error.isOpen) return this.#afterUnknown(commit, slot, txn, untilMs, error)',
      replace: 'if (error instanceof CallError && error.isOpen) return void (await slots.lost(slot).catch(() => {}))',
    },
  ],
}
