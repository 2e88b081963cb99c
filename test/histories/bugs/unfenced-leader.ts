import type { Bug } from '../planted.ts'

export const bug: Bug = {
  about: 'a leader that is slow ends sessions by what it knew, whoever leads by then and whether they were renewed',
  store: 'etcd',
  // A leader that is disturbed every few seconds gives everybody full terms, and ends nobody.
  faults: ['kill -9 of a client', 'SIGSTOP of a client'],
  edits: [
    {
      file: 'catalog/execute.ts',
      find: 'const compares = guard.length > 0 ? [...plan.if, ...guard] : plan.if',
      replace: 'const compares = plan.if',
    },
    {
      file: 'catalog/duties/sessions.ts',
      find: "const command = { kind: 'session-destroy', session: id } as const",
      replace: "const command = { kind: 'session-destroy', session: id } as const; await clock.sleep(4_000)",
    },
  ],
}
