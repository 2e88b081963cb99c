import type { Host, Peer } from './host.ts'

/** Direct connections before those through a relay, then by round-trip time; unmeasured ones last. */
export const byNearness =
  (host: Pick<Host, 'roundTripMs'>) =>
  (a: Peer, b: Peer): number =>
    Number(a.via !== undefined) - Number(b.via !== undefined) || distanceMs(host, a) - distanceMs(host, b)

const distanceMs = (host: Pick<Host, 'roundTripMs'>, { peerId }: Peer): number =>
  host.roundTripMs(peerId) ?? Number.MAX_VALUE
