/** What a name asks for. Names are read from the right: domain, datacenter, kind, and what is of that kind. */

export type Lookup =
  | {
      readonly kind: 'service'
      readonly service: string
      readonly tag: string | undefined
      /** A datacenter, `nearest`, or undefined: the own one, with failover. */
      readonly datacenter: string | undefined
    }
  | { readonly kind: 'node'; readonly node: string; readonly datacenter: string | undefined }
  /** Four or sixteen bytes. */
  | { readonly kind: 'addr'; readonly address: Uint8Array }
  /** A prepared query. */
  | { readonly kind: 'query'; readonly query: string; readonly datacenter: string | undefined }
  /** The domain itself, or a name that only has names below it. */
  | { readonly kind: 'empty' }
  /** Of the domain, but there is no such name. */
  | { readonly kind: 'absent' }

export type ParsedName =
  | (Lookup & {
      /** In the spelling of the configuration. */
      readonly domain: string
      /** Where the domain begins, in bytes from the beginning of the name. */
      readonly domainAt: number
    })
  | { readonly kind: 'reverse'; readonly address: string }
  /** Of no domain of ours. */
  | { readonly kind: 'foreign' }

/** Labels of a name on the wire, as text in lower case. */
export function labelsOf(data: Uint8Array, start: number): string[] {
  const labels: string[] = []
  for (let at = start; data[at]! > 0; at += data[at]! + 1) {
    labels.push(decoder.decode(data.subarray(at + 1, at + 1 + data[at]!)).toLowerCase())
  }
  return labels
}
const decoder = new TextDecoder()

export function parseName(labels: readonly string[], domains: readonly string[]): ParsedName {
  for (const domain of domains) {
    const suffix = domain.toLowerCase().split('.')
    if (!endsWith(labels, suffix)) continue
    const rest = labels.slice(0, -suffix.length)
    return { ...parseLookup(rest), domain, domainAt: wireBytes(rest) }
  }
  const address = reverseAddress(labels)
  return address === undefined ? { kind: 'foreign' } : { kind: 'reverse', address }
}

const encoder = new TextEncoder()
const wireBytes = (labels: readonly string[]): number =>
  labels.reduce((sum, label) => sum + 1 + encoder.encode(label).length, 0)

const endsWith = (labels: readonly string[], suffix: readonly string[]): boolean =>
  labels.length >= suffix.length && suffix.every((label, i) => labels[labels.length - suffix.length + i] === label)

const KINDS: ReadonlySet<string> = new Set(['service', 'node', 'addr', 'query'])

/** `<what>.<kind>`, `<what>.<kind>.<dc>` or `<what>.<kind>.<dc>.dc`. */
function parseLookup(labels: readonly string[]): Lookup {
  if (labels.length === 0) return { kind: 'empty' }
  const n = labels.length
  if (KINDS.has(labels[n - 1]!)) return ofKind(labels[n - 1]!, labels.slice(0, -1), undefined)
  if (n >= 2 && KINDS.has(labels[n - 2]!)) return ofKind(labels[n - 2]!, labels.slice(0, -2), labels[n - 1]!)
  if (n >= 3 && labels[n - 1] === 'dc' && KINDS.has(labels[n - 3]!)) {
    return ofKind(labels[n - 3]!, labels.slice(0, -3), labels[n - 2]!)
  }
  return { kind: 'absent' }
}

function ofKind(kind: string, what: readonly string[], datacenter: string | undefined): Lookup {
  if (what.length === 0) return { kind: 'empty' }
  if (kind === 'node') return { kind, node: what.join('.'), datacenter }
  if (kind === 'query') return { kind, query: what.join('.'), datacenter }
  if (kind === 'addr') return what.length === 1 ? ofAddress(what[0]!) : { kind: 'absent' }
  return ofService(what, datacenter)
}

/** `[tag.]service`, or `_service._tag` (RFC 2782), where `_tcp` means any. */
function ofService(what: readonly string[], datacenter: string | undefined): Lookup {
  const service = what.at(-1)!
  const [first = '', second = ''] = what
  if (first.startsWith('_') && second.startsWith('_') && what.length === 2 && first.length > 1) {
    const tag = second === '_tcp' ? undefined : second.slice(1)
    return { kind: 'service', service: first.slice(1), tag, datacenter }
  }
  if (what.length === 1 && service.startsWith('_')) return { kind: 'empty' }
  return { kind: 'service', service, tag: what.length > 1 ? what.slice(0, -1).join('.') : undefined, datacenter }
}

function ofAddress(hex: string): Lookup {
  if (!/^(?:[0-9a-f]{8}|[0-9a-f]{32})$/.test(hex)) return { kind: 'absent' }
  return { kind: 'addr', address: Uint8Array.from(hex.match(/../g)!, (byte) => Number.parseInt(byte, 16)) }
}

/** The address of a reverse name, as `canonicalAddress` writes it. */
function reverseAddress(labels: readonly string[]): string | undefined {
  if (endsWith(labels, ['in-addr', 'arpa']) && labels.length === 6) {
    const bytes = labels.slice(0, 4).reverse()
    return bytes.every((byte) => /^(?:0|[1-9]\d{0,2})$/.test(byte) && Number(byte) < 256) ? bytes.join('.') : undefined
  }
  if (endsWith(labels, ['ip6', 'arpa']) && labels.length === 34) {
    const digits = labels.slice(0, 32).reverse()
    if (!digits.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined
    return digits.join('').match(/..../g)!.join(':')
  }
  return undefined
}
