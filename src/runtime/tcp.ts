import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { AtollError } from '../model/errors.ts'
import { systemClock } from './clock.ts'
import type { TcpProbe } from './ports.ts'

/** Whether something accepts TCP connections there. `ca`: PEM of authorities that TLS trusts, instead of the machine's own. */
export const tcpProbeWith =
  (ca: string | undefined): TcpProbe =>
  async ({ host, port, timeoutMs, tls, signal: parent }) => {
    const { signal, done } = systemClock.deadline(timeoutMs, parent)
    try {
      signal.throwIfAborted()
      await new Promise<void>((resolve, reject) => {
        const socket = tls
          ? connectTls({
              host,
              port,
              rejectUnauthorized: !tls.skipVerify,
              ...(tls.serverName === '' ? {} : { servername: tls.serverName }),
              ...(ca === undefined ? {} : { ca }),
            })
          : connect({ host, port })
        const onAbort = (): void => finish(() => reject(reasonOf(signal, host, port, timeoutMs)))
        const finish = (settle: () => void): void => {
          signal.removeEventListener('abort', onAbort)
          socket.removeAllListeners()
          // A socket that is being torn down may still fail.
          socket.on('error', () => {})
          socket.destroy()
          settle()
        }
        socket.once(tls ? 'secureConnect' : 'connect', () => finish(resolve))
        socket.once('error', (error) =>
          finish(() =>
            reject(new AtollError('unavailable', `tcp ${host}:${port}: ${error.message}`, { cause: error })),
          ),
        )
        signal.addEventListener('abort', onAbort, { once: true })
      })
    } finally {
      done()
    }
  }

export const tcpProbe: TcpProbe = tcpProbeWith(undefined)

function reasonOf(signal: AbortSignal, host: string, port: number, timeoutMs: number): unknown {
  const reason: unknown = signal.reason
  return reason instanceof AtollError && reason.code === 'timeout'
    ? new AtollError('timeout', `tcp ${host}:${port}: no connection within ${timeoutMs} ms`)
    : reason
}
