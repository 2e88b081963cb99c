/** What the headers of answers mean. */
import type { HeaderName, JsonSchema } from '../described.ts'

const text = { type: 'string' }
const whole = { type: 'integer', minimum: 0 }
const int64 = { ...whole, format: 'int64' }

export const HEADERS: Readonly<Record<HeaderName, { readonly description: string; readonly schema: JsonSchema }>> = {
  'X-Consul-Index': {
    description: 'Of what was read: pass it as `index`, and the answer waits for a change',
    schema: { ...int64, format: 'uint64', minimum: 1 },
  },
  'X-Consul-KnownLeader': {
    description: 'Whether a leader of the datacenter is known',
    schema: { type: 'string', enum: ['true', 'false'] },
  },
  'X-Consul-LastContact': { description: 'How old the answer may be, in milliseconds', schema: int64 },
  'X-Consul-Effective-Consistency': {
    description: 'How it was read: `leader` unless asked otherwise',
    schema: { type: 'string', enum: ['leader', 'consistent', 'stale'] },
  },
  'X-Consul-Query-Backend': {
    description: 'For clients of Consul',
    schema: { type: 'string', enum: ['blocking-query', 'streaming'] },
  },
  'X-Consul-ContentHash': { description: 'Of the definition of the service', schema: text },
  'X-Consul-Reason': { description: 'The status that counts, or what is missing', schema: text },
  'X-Cache': { description: 'Whether `cached` was asked before', schema: { type: 'string', enum: ['HIT', 'MISS'] } },
  Age: { description: 'With `X-Cache: HIT`, in seconds', schema: whole },
  'X-Atoll-Datacenter': { description: 'The datacenter that the answer is of', schema: text },
  'X-Atoll-Source': {
    description: 'What it was answered from: the own catalog, a copy held here, or a call to another node',
    schema: { type: 'string', enum: ['catalog', 'replica', 'rpc'] },
  },
  'X-Atoll-Age-Ms': {
    description: 'How old the answer may be, in milliseconds; `unknown` where nobody can tell',
    schema: { type: 'string', pattern: '^([0-9]+|unknown)$' },
  },
  'X-Atoll-Failover': {
    description: 'Where none passes at home: from which datacenter to which the look-up went',
    schema: { type: 'string', examples: ['eu-1 -> us-1'] },
  },
  'X-Atoll-Error': { description: 'A code for scripts', schema: text },
  'X-Atoll-Field': { description: 'The field or parameter that is wrong', schema: text },
  'X-Consul-Default-ACL-Policy': { description: 'For clients of Consul', schema: { type: 'string', enum: ['allow'] } },
  'Retry-After': { description: 'Seconds to wait before asking again', schema: whole },
}

const ORIGIN = ['X-Atoll-Datacenter', 'X-Atoll-Source', 'X-Atoll-Age-Ms', 'X-Atoll-Failover'] as const
/** What a read tells of the state that it was answered from. */
export const META = [
  'X-Consul-Index',
  'X-Consul-KnownLeader',
  'X-Consul-LastContact',
  'X-Consul-Query-Backend',
] as const

/** On every answer of the API. */
export const ON_ALL = ['X-Consul-Default-ACL-Policy'] as const satisfies readonly HeaderName[]
/** On answers of what was refused or failed; those about the state only where Consul has them. */
export const ON_FAILURES = ['X-Atoll-Error', 'X-Atoll-Field', ...META] as const satisfies readonly HeaderName[]

/** The headers that come with each kind of `metaHeaders`. */
export const META_HEADERS = {
  none: ORIGIN,
  index: [...META, ...ORIGIN],
  full: [...META, 'X-Consul-Effective-Consistency', ...ORIGIN],
} as const satisfies Record<string, readonly HeaderName[]>
