/** A terminal's means: colours where they are wanted, tables, and lines that change in place. */

export interface Style {
  bold(text: string): string
  dim(text: string): string
  green(text: string): string
  red(text: string): string
  yellow(text: string): string
  cyan(text: string): string
}

/** Colours on a terminal, unless NO_COLOR is set; see https://no-color.org. */
export function styleFor(output: { isTTY?: boolean }): Style {
  const on = output.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
  const paint =
    (open: number, close: number) =>
    (text: string): string =>
      on ? `\u001b[${open}m${text}\u001b[${close}m` : text
  return {
    bold: paint(1, 22),
    dim: paint(2, 22),
    green: paint(32, 39),
    red: paint(31, 39),
    yellow: paint(33, 39),
    cyan: paint(36, 39),
  }
}

const ESCAPES = /\u001b\[\d+m/g
export const widthOf = (text: string): number => text.replace(ESCAPES, '').length
export const pad = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - widthOf(text)))
const padStart = (text: string, width: number): string => ' '.repeat(Math.max(0, width - widthOf(text))) + text

/** Columns as wide as they need, three spaces apart; those in `right` are flush right. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths: number[] = []
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, widthOf(cell))
    })
  }
  return rows.map((row) =>
    row
      .map((cell, column) => (right.includes(column) ? padStart(cell, widths[column]!) : pad(cell, widths[column]!)))
      .join('   ')
      .trimEnd(),
  )
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const FRAME_MS = 100

export type StepState = 'waiting' | 'running' | 'done' | 'failed'

/** A list of steps: redrawn in place on a terminal, elsewhere one line for each that ends. */
export class Steps {
  readonly #output: NodeJS.WriteStream
  readonly #style: Style
  readonly #steps = new Map<string, { state: StepState; detail: string }>()
  #timer: ReturnType<typeof setInterval> | undefined
  #frame = 0
  #drawn = 0

  constructor(output: NodeJS.WriteStream, style: Style) {
    this.#output = output
    this.#style = style
    if (output.isTTY) this.#timer = setInterval(() => this.#draw(), FRAME_MS)
  }

  set(name: string, state: StepState, detail = ''): void {
    const before = this.#steps.get(name)
    this.#steps.set(name, { state, detail })
    // What scrolled out of the window cannot be drawn again.
    if (this.#steps.size + 2 > (this.#output.rows ?? 24)) this.#stopTimer()
    if (this.#timer !== undefined) this.#draw()
    else if (before?.state !== state && (state === 'done' || state === 'failed')) {
      this.#output.write(`${this.#line(name, { state, detail })}\n`)
    }
  }

  /** Draws for the last time; what is printed next stands below. */
  end(): void {
    if (this.#timer === undefined) return
    this.#stopTimer()
    this.#draw()
  }

  #stopTimer(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #draw(): void {
    this.#frame = (this.#frame + 1) % FRAMES.length
    const lines = [...this.#steps].map(([name, step]) => this.#line(name, step))
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : ''
    this.#output.write(`${up}${lines.map((line) => `\u001b[2K${line}\n`).join('')}`)
    this.#drawn = lines.length
  }

  #line(name: string, { state, detail }: { state: StepState; detail: string }): string {
    const { green, red, cyan, dim } = this.#style
    const mark = { waiting: dim('·'), running: cyan(FRAMES[this.#frame]!), done: green('✓'), failed: red('✗') }[state]
    const width = Math.max(...[...this.#steps.keys()].map((each) => each.length))
    const room = (this.#output.columns ?? 120) - width - 8
    const shown = detail.length > room ? `${detail.slice(0, Math.max(0, room - 1))}…` : detail
    return `  ${mark} ${pad(name, width)}  ${dim(shown)}`.trimEnd()
  }
}
