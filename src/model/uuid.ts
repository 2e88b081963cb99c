/** The usual spelling, with hyphens, in letters of either case. */
export const isUuid = (text: string): boolean => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)

/**
 * What is wrong with a text as the id of a session or a prepared query, in the words of the index that Consul looks them up
 * in (hashicorp/go-memdb, UUIDFieldIndex): 36 characters, of which those that are no hyphens are bytes in hexadecimal. So
 * 36 ones are an id that nothing has. Undefined for what may be looked up.
 */
export function uuidFault(text: string): string | undefined {
  if (text.length !== 36) return 'UUID must be 36 characters'
  const digits = text.replaceAll('-', '')
  const hyphens = text.length - digits.length
  if (hyphens > 4) return `UUID should have maximum of 4 "-"; got ${hyphens}`
  if (digits.length % 2 !== 0) return 'UUID (without hyphens) must be even length'
  return /^[0-9a-f]*$/i.test(digits) ? undefined : 'Invalid UUID: its characters are hexadecimal digits and hyphens'
}
