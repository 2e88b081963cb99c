import { AtollError, messageOf } from '../model/errors.ts'

/** Why an address cannot be listened on, in words that name it; runtimes spell the reason in `code` or in `name`. */
export function listenError(error: unknown, hostname: string, port: number): AtollError {
  const { code, name } = error as { code?: string; name?: string }
  const address = hostname.includes(':') ? `[${hostname}]:${port}` : `${hostname}:${port}`
  const why =
    code === 'EADDRINUSE' || name === 'AddrInUse'
      ? 'another process listens there; stop it or choose another port'
      : code === 'EACCES' || name === 'PermissionDenied'
        ? 'not permitted; choose a port above 1023 or give the process that right'
        : code === 'EADDRNOTAVAIL' || name === 'AddrNotAvailable'
          ? 'this machine has no such address'
          : messageOf(error)
  return new AtollError('invalid', `cannot listen on ${address}: ${why}`, { cause: error })
}
