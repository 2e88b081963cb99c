import { systemClock } from './clock.ts'
import { systemDisk } from './disk.ts'
import type { Runtime } from './ports.ts'
import { systemRandom } from './random.ts'
import { tcpProbe } from './tcp.ts'
import { connectTcp, serveTcp } from './tcp-connection.ts'

/** What is the same on all three runtimes. */
export const machine = {
  clock: systemClock,
  random: systemRandom,
  disk: systemDisk,
  tcpProbe,
  serveTcp,
  connectTcp,
  memoryBytes: () => process.memoryUsage.rss(),
} satisfies Partial<Runtime>
