/** A lock that is held for as long as somebody works under it, and word when it is lost. */
import { ClientError, isClientError } from './error.ts'
import { type KeptSession, keepSession } from './keep-session.ts'
import type { KvClient } from './kv.ts'
import { pause } from './pause.ts'
import type { SessionClient } from './session.ts'

export interface LockOptions {
  readonly dc?: string
  /** Shown with the session and written to the key. */
  readonly name?: string
  /** The session ends when it was not renewed for so long; 10,000 at least, 15,000 unless given. */
  readonly ttlMs?: number
  /** How long nobody may have the lock after this session ended without releasing it; 15,000 unless given. */
  readonly lockDelayMs?: number
  /** The key is there only while the lock is held. */
  readonly ephemeral?: boolean
  /** How long to wait for the lock; for ever unless given. */
  readonly waitMs?: number
  readonly signal?: AbortSignal
}

export interface HeldLock {
  readonly key: string
  readonly session: string
  /** Pass it on with what is done under the lock: it is higher than that of every holder before. */
  readonly fence: number
  /** Fires when the lock is lost, or can no longer be known to be held. */
  readonly lost: AbortSignal
  /** Gives the lock back and ends the session. Idempotent; never rejects: what cannot be given back lapses. */
  release(): Promise<void>
}

interface Clients {
  readonly kv: KvClient
  readonly session: SessionClient
}

const POLL_MS = 10_000
/** A lock-delay ends without a change of the key. */
const DELAY_POLL_MS = 500

/**
 * Waits for the lock. Rejects with ClientError: 'conflict' when it was not free within `waitMs`, 'aborted' when the signal
 * fires.
 */
export async function acquireLock(clients: Clients, key: string, options: LockOptions = {}): Promise<HeldLock> {
  const { lockDelayMs = 15_000, name = `lock ${key}`, ephemeral = false, dc, ttlMs, signal } = options
  const session = await keepSession(
    clients.session,
    { Name: name, LockDelay: `${lockDelayMs}ms`, Behavior: ephemeral ? 'delete' : 'release' },
    { ...(dc !== undefined && { dc }), ...(ttlMs !== undefined && { ttlMs }), ...(signal && { signal }) },
  )
  try {
    await waitForKey(clients.kv, key, session, { ...options, name })
    const { value } = await clients.kv.get(key, targetOf(options))
    if (value?.session !== session.id) throw new ClientError('unavailable', `the lock ${key} was lost at once`)
    return hold(clients.kv, key, session, value.modifyIndex, options)
  } catch (error) {
    await session.end()
    throw error
  }
}

const targetOf = ({ dc, signal }: LockOptions) => ({ ...(dc !== undefined && { dc }), ...(signal && { signal }) })

async function waitForKey(
  kv: KvClient,
  key: string,
  session: KeptSession,
  options: LockOptions & { readonly name: string },
): Promise<void> {
  const { waitMs = Number.POSITIVE_INFINITY, signal, name } = options
  const target = targetOf(options)
  const endMs = performance.now() + waitMs
  for (;;) {
    if (signal?.aborted) throw new ClientError('aborted', `waiting for the lock ${key} was called off`)
    if (session.ended.aborted) {
      throw new ClientError('unavailable', `the session for the lock ${key} ended while it was waited for`)
    }
    if (await kv.put(key, name, { ...target, acquire: session.id })) return
    const leftMs = endMs - performance.now()
    if (leftMs <= 0) throw new ClientError('conflict', `the lock ${key} is held by another`)
    const { value, meta } = await kv.get(key, target)
    const pollMs = Math.ceil(Math.min(leftMs, POLL_MS))
    if (value?.session) await kv.get(key, { ...target, index: meta.index, waitMs: pollMs })
    else await pause(Math.min(leftMs, DELAY_POLL_MS), signal)
  }
}

function hold(kv: KvClient, key: string, session: KeptSession, fence: number, options: LockOptions): HeldLock {
  const { dc, ephemeral } = options
  const target = dc === undefined ? {} : { dc }
  const lost = new AbortController()
  const closing = new AbortController()
  const lose = (): void => {
    if (!closing.signal.aborted) lost.abort()
  }
  session.ended.addEventListener('abort', lose, { once: true })
  void watch(kv, key, session.id, { target, closing: closing.signal, lose })
  return {
    key,
    session: session.id,
    fence,
    lost: lost.signal,
    async release() {
      if (closing.signal.aborted) return
      closing.abort()
      if (!lost.signal.aborted && !ephemeral) {
        await kv.put(key, '', { ...target, release: session.id }).catch(() => false)
      }
      await session.end()
    },
  }
}

interface Watching {
  readonly target: { readonly dc?: string }
  readonly closing: AbortSignal
  readonly lose: () => void
}

/** Learns of a loss before the term is over. Never rejects. */
async function watch(kv: KvClient, key: string, session: string, { target, closing, lose }: Watching): Promise<void> {
  let index = 0
  while (!closing.aborted) {
    try {
      const { value, meta } = await kv.get(key, {
        ...target,
        signal: closing,
        ...(index > 0 && { index, waitMs: 60_000 }),
      })
      if (value?.session !== session) return lose()
      index = meta.index
    } catch (error) {
      if (closing.aborted) return
      if (isClientError(error) && error.code === 'forbidden') return lose()
      await pause(1_000, closing)
    }
  }
}
