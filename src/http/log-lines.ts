/** Lines of the log as `/v1/agent/monitor` of Consul writes them. */

type Fields = Record<string, unknown>

const parse = (line: string): Fields => JSON.parse(line) as Fields

const LABEL: Readonly<Record<string, string>> = {
  debug: '[DEBUG]',
  info: '[INFO] ',
  warn: '[WARN] ',
  error: '[ERROR]',
}

/** `2026-11-22T10:35:50.000Z [INFO]  http: a message: field=value` */
export function consulLine(line: string): string {
  const { time, level, msg, part, name: _, ...fields } = parse(line)
  const shown = Object.entries(fields).map(([name, value]) => `${name}=${quoted(value)}`)
  const rest = shown.length === 0 ? '' : `: ${shown.join(' ')}`
  return `${time} ${LABEL[String(level)] ?? level} ${part ?? 'agent'}: ${msg}${rest}\n`
}

/** With the keys of Consul's logger. */
export function jsonLine(line: string): string {
  const { time, level, msg, part, name: _, ...fields } = parse(line)
  const named = { '@level': level, '@message': msg, '@module': part ?? 'agent', '@timestamp': time }
  return `${JSON.stringify({ ...named, ...fields })}\n`
}

function quoted(value: unknown): string {
  const plain = value !== null && typeof value === 'object' && 'message' in value ? value.message : value
  return typeof plain === 'string' && /^[^\s"=]+$/.test(plain) ? plain : JSON.stringify(plain)
}
