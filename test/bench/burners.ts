/** Processes that do nothing but take CPU time, so that what is measured beside them has too little of it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

export interface Burners {
  stop(): Promise<void>
}

/** Each works for `share` of every 200 ms; 1 is a whole core. They end with this process. */
export function burn(count: number, share = 1): Burners {
  const workMs = Math.round(200 * Math.min(1, Math.max(0, share)))
  const program = `
    process.stdin.on('close', () => process.exit(0)).resume()
    const work = () => {
      const endMs = performance.now() + ${workMs}
      while (performance.now() < endMs);
      setTimeout(work, ${200 - workMs})
    }
    work()`
  const children = Array.from({ length: count }, () =>
    spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'ignore', 'inherit'] }),
  )
  return { stop: async () => void (await Promise.all(children.map(end))) }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
