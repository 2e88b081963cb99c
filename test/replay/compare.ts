/** What an answer has other than the recorded one, path by path. */
import type { RecordedBody } from './recording.ts'

export interface BodyDifference {
  /** Like `body[0].Service.Port`. */
  readonly path: string
  readonly recorded: unknown
  readonly got: unknown
}

type Segment = string | number

/** Paths as the recordings write them: `body..ID` any depth, `[*]` any element, `.*` any field, `(length)` a list's length. */
export class PathPattern {
  readonly #regexp: RegExp

  constructor(pattern: string) {
    const source = pattern
      .replace(/"([^"]*)"/g, (_, name: string) => name.replace(/[.*[\]]/g, (char) => encodeURIComponent(char)))
      .replace(/[\\^$+?(){}|]/g, '\\$&')
      .replace(/\[\*\]/g, '\\[\\d+\\]')
      .replace(/\[(\d+)\]/g, '\\[$1\\]')
      .replace(/\.\.(\w+)/g, '(?:\\..+|\\[\\d+\\])*\\.$1')
      .replace(/\.\*$/, '\\..+')
    this.#regexp = new RegExp(`^${source}$`)
  }

  matches(path: string): boolean {
    return this.#regexp.test(path)
  }
}

const show = (path: readonly Segment[]): string =>
  path.map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? part : `.${part}`)).join('')

/** Every difference that no volatile pattern covers, and that `same` does not forgive. */
export function compareJson(
  recorded: unknown,
  got: unknown,
  volatile: readonly PathPattern[],
  same: (recorded: unknown, got: unknown) => boolean = () => false,
): BodyDifference[] {
  const differences: BodyDifference[] = []
  const isVolatile = (path: string): boolean => volatile.some((pattern) => pattern.matches(path))
  const visit = (a: unknown, b: unknown, path: Segment[]): void => {
    const shown = show(path)
    if (isVolatile(shown)) return
    if (Array.isArray(a) && Array.isArray(b)) {
      if (a.length !== b.length && !isVolatile(`${shown} (length)`)) {
        differences.push({ path: `${shown} (length)`, recorded: a.length, got: b.length })
      }
      for (let i = 0; i < Math.min(a.length, b.length); i++) visit(a[i], b[i], [...path, i])
      return
    }
    if (isObject(a) && isObject(b)) {
      for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) visit(a[name], b[name], [...path, name])
      return
    }
    if (a !== b && !same(a, b)) differences.push({ path: shown, recorded: a, got: b })
  }
  visit(recorded, got, ['body'])
  return differences
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Exact text, apart from what differs in every run: indexes, ids and hashes, and the indentation of `-dev` agents. */
export function maskText(text: string): string {
  return compact(text)
    .replace(/"(CreateIndex|ModifyIndex|LockIndex|Index|LTime)":\d+/g, '"$1":0')
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<id>')
    .replace(/"ContentHash":"[0-9a-f]{16}"/g, '"ContentHash":"<hash>"')
}

/** JSON without the white space between its tokens; other text as it is. */
function compact(text: string): string {
  if (!/^[[{"]/.test(text)) return text
  try {
    JSON.parse(text)
  } catch {
    return text
  }
  return text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, (_, string: string | undefined) => string ?? '')
}

export const isTextBody = (body: RecordedBody): body is { text: string } =>
  isObject(body) && typeof body.text === 'string' && Object.keys(body).length === 1
export const isBinaryBody = (body: RecordedBody): body is { base64: string } =>
  isObject(body) && typeof body.base64 === 'string' && Object.keys(body).length === 1
export const isDigestBody = (body: RecordedBody): body is { length: number; sha256?: string; note?: string } =>
  isObject(body) && typeof body.length === 'number' && ('sha256' in body || 'note' in body)
export const isShapeBody = (body: RecordedBody): body is { shape: unknown } => isObject(body) && 'shape' in body

/** Types in place of values, as the recordings write shapes. */
export function shapeOf(value: unknown): unknown {
  if (value === null) return 'null'
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])]
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, shapeOf(field)]))
  return typeof value
}
