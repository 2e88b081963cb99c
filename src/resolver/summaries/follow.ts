/** Keeps a client node's mirror of the summaries up to date, from whichever server of its DC answers. */
import type { Federation } from '../../federation/federation.ts'
import { AtollError, isAtollError } from '../../model/errors.ts'
import type { Clock, Random } from '../../runtime/ports.ts'
import type { SummaryMirror } from './mirror.ts'
import { answerOf, SUMMARIES } from './wire.ts'

export interface FollowOptions {
  readonly federation: Pick<Federation, 'call' | 'peers'>
  readonly datacenter: string
  readonly mirror: SummaryMirror
  readonly clock: Clock
  readonly random: Random
  /** After an answer that changed something. */
  readonly onChanged: (keys: readonly string[]) => void
}

/** A wait without a change ends after so long, give or take a quarter: then all that is here is confirmed anew. */
const WAIT_MS = 10_000
/** The answer itself. */
const CALL_MS = 5_000
const RETRY_MS = 1_000
/** A server that knows nothing of summaries is an older one. */
const UNSUPPORTED_MS = 60_000

/** The returned function ends it. */
export function followSummaries(options: FollowOptions): () => void {
  const closed = new AbortController()
  void run(options, closed.signal)
  return () => closed.abort()
}

/** Never rejects. */
async function run({ federation, datacenter, mirror, clock, random, onChanged }: FollowOptions, signal: AbortSignal) {
  const jitter = (ms: number): number => ms * (0.5 + random.float())
  let server: string | undefined
  while (!signal.aborted) {
    let pauseMs = 0
    try {
      server = serverOf(federation, datacenter, server, random)
      if (server === undefined) throw new AtollError('unavailable', 'no server is connected')
      const request = mirror.request(WAIT_MS * (0.75 + random.float() / 2))
      const askedMs = clock.nowMs()
      const deadlineMs = request.waitMs + CALL_MS
      const payload = await federation.call({ datacenter, peerId: server }, SUMMARIES, request, { deadlineMs, signal })
      const answer = answerOf(payload)
      const changed = mirror.take(answer, askedMs)
      if (changed.length > 0) onChanged(changed)
      pauseMs = mirror.isPaging ? 0 : jitter(answer.paceMs)
    } catch (error) {
      pauseMs = jitter(isAtollError(error) && error.code === 'unsupported' ? UNSUPPORTED_MS : RETRY_MS)
    }
    await clock.sleep(pauseMs, signal).catch(() => {})
  }
}

/** The same as long as it is connected: another one counts its versions otherwise, and would have to tell all anew. */
function serverOf(
  federation: FollowOptions['federation'],
  datacenter: string,
  former: string | undefined,
  random: Random,
): string | undefined {
  const servers = federation.peers().filter((peer) => peer.datacenter === datacenter && peer.role === 'server')
  if (servers.some(({ peerId }) => peerId === former)) return former
  return servers[Math.floor(random.float() * servers.length)]?.peerId
}
