import type { Bug } from '../planted.ts'

export const bug: Bug = {
  about: 'a client that gets no answer sends a write again as another one',
  store: 'embedded',
  edits: [
    {
      file: 'resolver/forward.ts',
      find: "federation.call({ datacenter: to }, 'mesh.execute', message, {",
      replace: "federation.call({ datacenter: to }, 'mesh.execute', { ...message, requestId: random.uuid() }, {",
    },
  ],
}
