/** Bounds of the federation protocol. What goes over the wire is held to them on both sides. */

/** Raised when a peer of the former version could no longer understand what is sent. */
export const PROTOCOL_VERSION = 1

/** What this build can do beyond version 1; told in every message and frame, as bits. */
export const CAPABILITY = {
  /** Repairs bucket by bucket. */
  buckets: 1,
  /** Serves a replica of another DC to those who cannot reach it. */
  thirdParty: 2,
  /** Goes on with an interrupted snapshot. */
  resume: 4,
  /** Takes transfers as deflated pages. */
  pages: 8,
} as const
export const CAPABILITIES = CAPABILITY.buckets | CAPABILITY.thirdParty | CAPABILITY.resume | CAPABILITY.pages

/** Bytes of an exported key and value; the store's own limits. */
export const MAX_KEY_BYTES = 4096
export const MAX_VALUE_BYTES = 1024 * 1024

/** A delta with more bytes of entries goes by streams only; gossip carries its head. */
export const MAX_GOSSIP_DELTA_BYTES = 48 * 1024
/** A gossip message beyond this is refused unread. */
export const MAX_GOSSIP_BYTES = 96 * 1024
/** A single revision with more bytes of entries is told by its head alone: readers ask for it, and get it in chunks. */
export const MAX_LIVE_DELTA_BYTES = 512 * 1024
/** Any signed message, on a stream. */
export const MAX_ENVELOPE_BYTES = 1024 * 1024
/** Frames of a transfer are filled up to this; one entry larger than that has a frame of its own. */
export const TARGET_FRAME_BYTES = 60 * 1024
/** The largest frame there can be: one entry of the largest size. */
export const MAX_FRAME_BYTES = MAX_KEY_BYTES + MAX_VALUE_BYTES + 4096
export const MAX_CHANGES_PER_DELTA = 4096
export const MAX_ENTRIES_PER_FRAME = 8192

export const MAX_HELLO_BYTES = 1024 * 1024
export const MAX_DATACENTERS = 1024
export const MAX_GATEWAYS_PER_DATACENTER = 64
export const MAX_ADDRESSES = 16
export const MAX_ADDRESS_LENGTH = 256
export const MAX_NAME_LENGTH = 128
/** DCs that a beacon may say it suspects; of more, the first. */
export const MAX_SUSPECTS = 64
/** Gateways that a beacon may say its gateway reaches; of more, the nearest. */
export const MAX_REACH = 512

/** What one replica may hold: more is refused, and the replica stays where it was. */
export const MAX_REPLICA_ENTRIES = 2_000_000
export const MAX_REPLICA_BYTES = 512 * 1024 * 1024

export const BUCKETS = 1024
export const DIGEST_BYTES = 32
/** Bytes of each bucket's hash in a repair request: enough to find differences; the whole digest decides. */
export const BUCKET_HASH_BYTES = 8
