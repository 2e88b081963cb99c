import type { Bug } from '../planted.ts'

export const bug: Bug = {
  about:
    'a read waits for the barrier that is under way already, which need not cover what was acknowledged since it began',
  store: 'etcd',
  edits: [
    {
      file: 'store/etcd/rounds.ts',
      find: `    this.#gathering = undefined
    this.#underWay++
    try {
      return await this.#run()
    } finally {
`,
      replace: `    this.#underWay++
    try {
      return await this.#run()
    } finally {
      this.#gathering = undefined
`,
    },
  ],
}
