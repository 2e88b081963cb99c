import { AtollError, messageOf } from '../model/errors.ts'
import { whyNotListening } from '../model/listen.ts'

/** Why an address cannot be listened on, in words that name it. */
export function listenError(error: unknown, hostname: string, port: number): AtollError {
  const address = hostname.includes(':') ? `[${hostname}]:${port}` : `${hostname}:${port}`
  return new AtollError('invalid', `cannot listen on ${address}: ${whyNotListening(error) ?? messageOf(error)}`, {
    cause: error,
  })
}
