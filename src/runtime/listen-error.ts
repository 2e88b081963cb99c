import { hostAndPort } from '../model/addresses.ts'
import { AtollError, messageOf } from '../model/errors.ts'
import { whyNotListening } from '../model/listen.ts'

/** Why an address cannot be listened on, in words that name it. */
export function listenError(error: unknown, hostname: string, port: number): AtollError {
  return new AtollError(
    'invalid',
    `cannot listen on ${hostAndPort(hostname, port)}: ${whyNotListening(error) ?? messageOf(error)}`,
    {
      cause: error,
    },
  )
}
