/** What is printed for people: sparing colour, aligned tables, nothing that a terminal would take for an order. */

export type Tone = 'good' | 'warn' | 'bad' | 'dim' | 'bold'
export type Paint = (tone: Tone, text: string) => string

const CODES: Readonly<Record<Tone, string>> = { good: '32', warn: '33', bad: '31', dim: '2', bold: '1' }

/** Colours on a terminal only, and not when NO_COLOR is set (to anything) or TERM is `dumb`. */
export function createPaint(isTTY: boolean, env: Readonly<Record<string, string | undefined>>): Paint {
  const plain = !isTTY || Boolean(env.NO_COLOR) || env.TERM === 'dumb'
  return plain ? (_tone, text) => text : (tone, text) => `\x1b[${CODES[tone]}m${text}\x1b[0m`
}

/** Control characters made visible: names and outputs come from whoever registered them. */
export const printable = (text: string): string =>
  text.replace(
    /[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

export interface Column {
  readonly title: string
  readonly align?: 'right'
  /** May be cut with an ellipsis when the terminal is too narrow; later columns are cut first. */
  readonly cut?: boolean
}
/** Text, or text with a tone. */
export type Cell = string | readonly [tone: Tone, text: string]

const GAP = '  '
const MIN_CUT_WIDTH = 8

const textOf = (cell: Cell): string => printable(typeof cell === 'string' ? cell : cell[1])
const widthOf = (text: string): number => [...text].length

/** Lines of a table, at most `width` columns wide as far as cutting allows. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  paint: Paint,
  width = Number.POSITIVE_INFINITY,
): string[] {
  const widths = columns.map((column, at) =>
    rows.reduce((most, row) => Math.max(most, widthOf(textOf(row[at] ?? ''))), widthOf(column.title)),
  )
  let excess = widths.reduce((sum, one) => sum + one, GAP.length * (columns.length - 1)) - width
  for (let at = columns.length - 1; at >= 0 && excess > 0; at--) {
    if (!columns[at]!.cut) continue
    const less = Math.min(excess, Math.max(0, widths[at]! - MIN_CUT_WIDTH))
    widths[at]! -= less
    excess -= less
  }
  const line = (cells: readonly Cell[], tone?: Tone): string =>
    columns
      .map((column, at) => {
        const cell = cells[at] ?? ''
        const text = cutTo(textOf(cell), widths[at]!)
        const space = ' '.repeat(widths[at]! - widthOf(text))
        const painted = paintCell(text, typeof cell === 'string' ? tone : cell[0], paint)
        return column.align === 'right' ? space + painted : painted + space
      })
      .join(GAP)
      .trimEnd()
  return [
    line(
      columns.map((column) => column.title),
      'dim',
    ),
    ...rows.map((row) => line(row)),
  ]
}

const paintCell = (text: string, tone: Tone | undefined, paint: Paint): string =>
  tone === undefined || text === '' ? text : paint(tone, text)

function cutTo(text: string, width: number): string {
  const chars = [...text]
  return chars.length <= width ? text : `${chars.slice(0, width - 1).join('')}…`
}

/** Words broken into lines of at most `width`. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

/** As `formatMs`; null and Infinity say that nobody can tell it, undefined that there is nothing to tell. */
export const formatAge = (ageMs: number | null | undefined): string =>
  ageMs === null || ageMs === Number.POSITIVE_INFINITY ? 'unknown' : formatMs(ageMs)

/** `0.8 ms`, `82 ms`, `4.2 s`, `3 min`, `2 h`, `5 d`: enough to judge by. */
export function formatMs(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '-'
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 120_000) return `${Number((ms / 1000).toFixed(1))} s`
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`
  return `${Math.round(ms / 86_400_000)} d`
}

export const statusTone = (status: string): Tone =>
  status === 'passing' || status === 'alive' || status === 'live' ? 'good' : status === 'warning' ? 'warn' : 'bad'

/** host:port, with an IPv6 host in brackets. */
export const hostPort = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
