/** Paths as they were sent, and as Go's ServeMux cleans them. */
import { HttpError } from './errors.ts'
import { unescapeBytes } from './query.ts'

/** Path and query of an absolute URL as it was sent: also the key of what is kept by URL. */
export function targetOf(url: string): string {
  const slash = url.indexOf('/', 8)
  return slash < 0 ? '/' : url.slice(slash)
}

/** The path without `//`, `/./` and `/../`; the same string when it has none. */
export function cleanPath(path: string): string {
  if (!/\/\/|\/\.\.?(\/|$)/.test(path)) return path
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  const clean = `/${parts.join('/')}`
  return path.endsWith('/') && clean !== '/' ? `${clean}/` : clean
}

/** The text that a percent-encoded part of a path stands for; invalid UTF-8 becomes U+FFFD. */
export function decodePath(raw: string): string {
  if (/^[\x20-\x24\x26-\x7e]*$/.test(raw)) return raw
  if (/%(?![0-9a-fA-F]{2})/.test(raw)) throw new HttpError(400, '400 Bad Request')
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(unescapeBytes(raw)))
}
