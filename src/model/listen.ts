/** Why an address cannot be listened on, in words; runtimes spell the reason in `code` or in `name`. Undefined for any other error. */
export function whyNotListening(error: unknown): string | undefined {
  const { code, name } = (error ?? {}) as { code?: string; name?: string }
  if (code === 'EADDRINUSE' || name === 'AddrInUse')
    return 'another process listens there; stop it or choose another port'
  if (code === 'EACCES' || name === 'PermissionDenied')
    return 'not permitted; choose a port above 1023 or give the process that right'
  if (code === 'EADDRNOTAVAIL' || name === 'AddrNotAvailable') return 'this machine has no such address'
  return undefined
}
