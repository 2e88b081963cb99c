import type { Bug } from '../bugs.ts'

export const bug: Bug = {
  about: 'A breaker that never closes: a success ends the probe, and nothing else.',
  withinSeeds: 40,
  patch({ Breaker }) {
    Breaker.prototype.succeeded = function (this: InstanceType<typeof Breaker>): void {
      this.withdrawn()
    }
  },
}
