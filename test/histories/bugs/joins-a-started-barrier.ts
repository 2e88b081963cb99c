import type { Bug } from '../planted.ts'

export const bug: Bug = {
  about:
    'a read waits for the barrier that is under way already, which need not cover what was acknowledged since it began',
  store: 'etcd',
  edits: [
    {
      file: 'store/etcd/rounds.ts',
      find: `    } finally {
      this.#gathering = undefined
    }
    this.#underWay++
    try {
      const answer = await this.#run()
`,
      replace: `    } finally {
    }
    this.#underWay++
    try {
      const answer = await this.#run().finally(() => {
        this.#gathering = undefined
      })
`,
    },
  ],
}
