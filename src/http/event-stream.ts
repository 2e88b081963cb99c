/** What the event streams have in common. */
import { ON_STREAMS } from './answer.ts'
import type { Call } from './route.ts'

export const EVENT_STREAM_HEADERS = {
  ...ON_STREAMS,
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-store',
  // Proxies that buffer would hold events back.
  'X-Accel-Buffering': 'no',
}

/** Time until a client that lost its connection comes back. */
export const RETRY_MS = 1_000

/** Where a client that comes back stands. */
export function lastEventIdOf({ request, query }: Call): number | undefined {
  const id = request.headers.get('last-event-id') ?? query.get('last-event-id')
  return /^\d{1,16}$/.test(id) ? Number(id) : undefined
}
