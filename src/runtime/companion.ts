import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { systemClock } from './clock.ts'
import type { Companions, ReservedPort } from './ports.ts'

/** The program is given so long to end in good order once its parent is gone, or asks: below what a part of a node has. */
const GRACE_S = 2

/**
 * A shell stands between, which waits for the program and for the end of a pipe that only its parent holds: however the parent ends, the
 * pipe does, and then the program. `read` never gets anything. Descriptor 3 is not passed on, lest the program hold the pipe itself.
 */
const GUARD = `
exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
{
  read -r line <&3
  kill -TERM "$program" 2>/dev/null
  left=${GRACE_S * 10}
  while [ "$left" -gt 0 ] && kill -0 "$program" 2>/dev/null; do sleep 0.1; left=$((left - 1)); done
  kill -KILL "$program" 2>/dev/null
} >/dev/null 2>&1 &
guard=$!
exec 3<&-
wait "$program"
code=$?
kill -KILL "$guard" 2>/dev/null
exit "$code"
`

/** Programs through `node:child_process` and a POSIX shell. */
export const companions: Companions = {
  start({ args, onLine }) {
    // A group of its own: an interrupt at the terminal is for the node, which ends the program in its turn.
    const child = spawn('sh', ['-c', GUARD, 'sh', ...args], { stdio: ['pipe', 'ignore', 'pipe'], detached: true })
    child.stdin.on('error', () => {})
    createInterface({ input: child.stderr }).on('line', (line) => onLine(line.slice(0, 4_096)))
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('exit', (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code}`))
    })
    return {
      ended,
      async stop() {
        child.stdin.end()
        const late = systemClock.after((GRACE_S + 2) * 1_000, () => killGroup(child.pid))
        await ended
        late.cancel()
      },
    }
  },

  async reservePort(host, preferred) {
    const reserved = (await listenAt(host, preferred)) ?? (await listenAt(host, 0))
    return reserved ?? { port: preferred, release: async () => {} }
  },
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // All of it has ended.
  }
}

/** Undefined when another process has it. Whoever connects is turned away. */
function listenAt(host: string, port: number): Promise<ReservedPort | undefined> {
  const server = createServer((socket) => socket.destroy())
  const { promise, resolve } = Promise.withResolvers<ReservedPort | undefined>()
  server.once('error', () => resolve(undefined))
  server.listen({ host, port, exclusive: true }, () => {
    const address = server.address()
    if (typeof address !== 'object' || !address) return resolve(undefined)
    const closed = Promise.withResolvers<void>()
    server.once('close', closed.resolve)
    resolve({
      port: address.port,
      release() {
        server.close()
        return closed.promise
      },
    })
  })
  return promise
}
