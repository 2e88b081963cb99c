/**
 * How old a copy may be, in milliseconds: an upper bound, and Infinity while nobody can tell one. Infinity goes well with what is
 * done to ages (adding, comparing, taking the larger), but not over the wire, onto the disk or into Consul's headers.
 */

const UNKNOWN_ON_WIRE = Number.MAX_SAFE_INTEGER

/** For Consul's clients, which take nothing but a number: the largest that is safe as milliseconds in 32 bits, about 25 days. */
const UNKNOWN_AS_CONTACT = 2 ** 31 - 1

/** A whole number from 0 on; nodes that know of no unknown age take it for a very high one. */
export const ageToWire = (ageMs: number): number =>
  Number.isFinite(ageMs) ? Math.max(0, Math.round(ageMs)) : UNKNOWN_ON_WIRE

export const ageFromWire = (ageMs: number): number => (ageMs >= UNKNOWN_ON_WIRE ? Number.POSITIVE_INFINITY : ageMs)

/**
 * Of what was `savedAgeMs` old when it was saved. The time in between is by the wall clock alone; one that went back shows that it
 * cannot tell.
 */
export const ageSince = (savedAgeMs: number, savedWallMs: number, wallMs: number): number =>
  wallMs < savedWallMs ? Number.POSITIVE_INFINITY : savedAgeMs + wallMs - savedWallMs

/** As `X-Consul-LastContact` says it: always a number that Go's clients can make a duration of. */
export const ageAsContact = (ageMs: number): number => Math.min(UNKNOWN_AS_CONTACT, Math.round(ageMs))
