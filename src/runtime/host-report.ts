/** What a machine is and how much of it is in use: the same on all three runtimes. */
import { readFile, statfs } from 'node:fs/promises'
import os from 'node:os'
import type { HostReport, ProcessMemory } from './ports.ts'

export async function hostReport(path: string): Promise<HostReport> {
  const [memory, disk] = await Promise.all([memoryOf(), diskOf(path)])
  return {
    memory,
    cpus: os.cpus().map(({ model, speed }) => ({ modelName: model, mhz: speed })),
    host: {
      hostname: os.hostname(),
      uptimeS: Math.floor(os.uptime()),
      os: os.platform(),
      platformVersion: os.version(),
      kernelVersion: os.release(),
      kernelArch: os.machine(),
    },
    disk,
  }
}

export function processMemory(): ProcessMemory {
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage()
  return { residentBytes: rss, heapUsedBytes: heapUsed, heapTotalBytes: heapTotal, externalBytes: external }
}

/** Names of /proc/meminfo under which gopsutil, which Consul uses, gives the same. */
const MEMORY: readonly (readonly [string, string])[] = [
  ['MemTotal', 'total'],
  ['MemAvailable', 'available'],
  ['MemFree', 'free'],
  ['Active', 'active'],
  ['Inactive', 'inactive'],
  ['Buffers', 'buffers'],
  ['Cached', 'cached'],
  ['Writeback', 'writeBack'],
  ['Dirty', 'dirty'],
  ['Shmem', 'shared'],
  ['Slab', 'slab'],
  ['SReclaimable', 'sreclaimable'],
  ['SUnreclaim', 'sunreclaim'],
  ['PageTables', 'pageTables'],
  ['SwapCached', 'swapCached'],
  ['SwapTotal', 'swapTotal'],
  ['SwapFree', 'swapFree'],
  ['CommitLimit', 'commitLimit'],
  ['Committed_AS', 'committedAS'],
  ['Mapped', 'mapped'],
  ['WritebackTmp', 'writeBackTmp'],
  ['VmallocTotal', 'vmallocTotal'],
  ['VmallocUsed', 'vmallocUsed'],
  ['VmallocChunk', 'vmallocChunk'],
  ['Hugepagesize', 'hugePageSize'],
]

async function memoryOf(): Promise<Record<string, number>> {
  const memory: Record<string, number> = { total: os.totalmem(), available: os.freemem(), free: os.freemem() }
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '')
  for (const [, name, kilobytes] of text.matchAll(/^([\w()]+): +(\d+) kB$/gm)) {
    const known = MEMORY.find(([theirs]) => theirs === name)
    if (known) memory[known[1]] = Number(kilobytes) * 1024
  }
  memory.used = memory.total! - memory.available!
  memory.usedPercent = (memory.used / memory.total!) * 100
  return memory
}

async function diskOf(path: string): Promise<HostReport['disk']> {
  try {
    const { bsize, blocks, bavail, files, ffree } = await statfs(path)
    return { path, totalBytes: bsize * blocks, freeBytes: bsize * bavail, files, freeFiles: ffree }
  } catch {
    return undefined
  }
}
