/** Consul's bounds of metadata, in its words. */
const KEY = /^[a-zA-Z0-9_-]+$/
const MAX_PAIRS = 64
const MAX_KEY = 128
const MAX_VALUE = 512
const RESERVED = 'consul-'

/** What is wrong with it; undefined when nothing is. `anyKey`: as the catalog takes them, which only bounds their size. */
export function metadataFault(
  meta: Readonly<Record<string, string>> | null | undefined,
  { anyKey = false }: { anyKey?: boolean } = {},
): string | undefined {
  const pairs = Object.entries(meta ?? {})
  if (pairs.length > MAX_PAIRS) return `Node metadata cannot contain more than ${MAX_PAIRS} key/value pairs`
  for (const [key, value] of pairs) {
    const fault = pairFault(key, value, anyKey)
    if (fault) return `Couldn't load metadata pair ('${key}', '${value}'): ${fault}`
  }
  return undefined
}

function pairFault(key: string, value: string, anyKey: boolean): string | undefined {
  if (key === '') return 'Key cannot be blank'
  if (!anyKey && !KEY.test(key)) return 'Key contains invalid characters'
  if (key.length > MAX_KEY) return `Key is too long (limit: ${MAX_KEY} characters)`
  if (key.startsWith(RESERVED)) return `Key prefix '${RESERVED}' is reserved for internal use`
  if (value.length > MAX_VALUE) return `Value is too long (limit: ${MAX_VALUE} characters)`
  return undefined
}
