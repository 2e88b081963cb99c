/** A session that is renewed for as long as it is kept, and says when it may have ended. */
import { pause } from './pause.ts'
import type { SessionClient, SessionDefinition } from './session.ts'

export interface KeptSession {
  readonly id: string
  /** Fires when the session has ended, or can no longer be known to stand. */
  readonly ended: AbortSignal
  /** Ends it. Idempotent; never rejects: one that cannot be ended lapses. */
  end(): Promise<void>
}

export interface KeepOptions {
  readonly dc?: string
  /** The session ends when it was not renewed for so long; 10,000 at least, 15,000 unless given. */
  readonly ttlMs?: number
  readonly signal?: AbortSignal
}

/** Rejects with ClientError when it cannot be made. */
export async function keepSession(
  client: Pick<SessionClient, 'create' | 'renew' | 'destroy'>,
  definition: Omit<SessionDefinition, 'TTL'>,
  { dc, ttlMs = 15_000, signal }: KeepOptions = {},
): Promise<KeptSession> {
  const target = dc === undefined ? {} : { dc }
  const sentMs = performance.now()
  const id = await client.create({ ...definition, TTL: `${ttlMs}ms` }, { ...target, ...(signal && { signal }) })
  const ended = new AbortController()
  const closing = new AbortController()
  void renewing(client, id, { target, ttlMs, sentMs, closing: closing.signal, lose: () => ended.abort() })
  return {
    id,
    ended: ended.signal,
    async end() {
      if (closing.signal.aborted) return
      closing.abort()
      await client.destroy(id, target).catch(() => {})
    },
  }
}

interface Renewing {
  readonly target: { readonly dc?: string }
  readonly ttlMs: number
  /** When the last renewal that is known to have come through was sent: a term after that it may be over. */
  readonly sentMs: number
  readonly closing: AbortSignal
  readonly lose: () => void
}

/** Three times a term. Never rejects. */
async function renewing(client: Pick<SessionClient, 'renew'>, id: string, options: Renewing): Promise<void> {
  const { target, ttlMs, closing, lose } = options
  let { sentMs } = options
  await pause(ttlMs / 3, closing)
  while (!closing.aborted) {
    const leftMs = sentMs + ttlMs - performance.now()
    if (leftMs <= 0) return lose()
    const nowMs = performance.now()
    try {
      const session = await client.renew(id, { ...target, timeoutMs: Math.max(1, leftMs), signal: closing })
      if (session === undefined) return lose()
      sentMs = nowMs
      await pause(ttlMs / 3, closing)
    } catch {
      await pause(Math.min(500, Math.max(0, leftMs)), closing)
    }
  }
}
