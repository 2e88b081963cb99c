import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about: 'A message that was said long ago, and comes late or twice, counts as a sign of life and as news.',
  withinSeeds: 40,
  edits: [
    {
      file: 'directory.ts',
      find: 'const newer = !unproven && isNewer(stamp, gateway.stamp)',
      replace: 'const newer = !unproven',
    },
  ],
}
