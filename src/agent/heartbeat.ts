/** Tells the DC's leader, again and again, that this node lives; notices when the server that hears it is a new one. */
import { isAtollError, messageOf } from '../model/errors.ts'
import type { Clock, Logger, Random } from '../runtime/ports.ts'

/** What a server answers to a sign of life. */
export interface Renewal {
  /** Changes whenever the answering server starts anew or is another one: what it holds of this node must be compared. */
  readonly server: string
  /** Whether the catalog has this node under this id. */
  readonly registered: boolean
}

export interface HeartbeatOptions {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Renewals are so far apart, give or take a tenth; after one that nobody heard, the next comes in a quarter of that. */
  readonly periodMs: number
  readonly renew: () => Promise<Renewal>
  /** The catalog may not have what this node registered: sync all of it. */
  readonly onServerChanged: () => void
}

export interface Heartbeat {
  /** Renews now (a new connection came up). One that is under way may be lost with the former connection: then it is done again at once. */
  now(): void
  stop(): void
}

/** A lease takes several periods: what was lost must not cost it a whole one more. */
const RETRY_SHARE = 0.25

export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { clock, random, logger, periodMs } = options
  let timer: { cancel(): void } | undefined
  let stopped = false
  let busy = false
  let askedMeanwhile = false
  let server: string | undefined

  const renewed = async (): Promise<boolean> => {
    try {
      const renewal = await options.renew()
      if (!stopped && (renewal.server !== server || !renewal.registered)) options.onServerChanged()
      server = renewal.server
      return true
    } catch (error) {
      logger.debug(
        { code: isAtollError(error) ? error.code : undefined, reason: messageOf(error) },
        'no server heard the sign of life',
      )
      return false
    }
  }
  const beat = async (): Promise<void> => {
    if (busy || stopped) return
    busy = true
    askedMeanwhile = false
    timer?.cancel()
    const heard = await renewed()
    busy = false
    if (stopped) return
    const delayMs = heard ? periodMs : askedMeanwhile ? 0 : periodMs * RETRY_SHARE
    timer = clock.after(delayMs * (0.9 + random.float() * 0.2), () => void beat())
  }
  void beat()
  return {
    now: () => {
      askedMeanwhile = true
      void beat()
    },
    stop: () => {
      stopped = true
      timer?.cancel()
    },
  }
}
