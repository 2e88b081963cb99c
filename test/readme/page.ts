/**
 * The README as a list of steps. A comment before each shell block says how it is run:
 *
 *   <!-- shell: run -->         each command once, one after the other
 *   <!-- shell: wait -->        again and again until the output is as shown
 *   <!-- shell: background -->  started, and left running to the end of its section once it has printed what is shown
 *   <!-- shell: scripts -->     not run: the npm scripts that it names must exist
 *
 * A text block that follows at once is the output of all commands of the block. In it, a line `...` stands for any lines,
 * and a line that ends with `...` for any end.
 */

export const MODES = ['run', 'wait', 'background', 'scripts'] as const
export type Mode = (typeof MODES)[number]

export interface Step {
  /** Line of the page where the shell block begins. */
  readonly line: number
  readonly mode: Mode
  /** Comments and blank lines aside. */
  readonly commands: readonly string[]
  /** Undefined: nothing is said of the output. */
  readonly output: readonly string[] | undefined
}

export interface Section {
  readonly title: string
  readonly steps: readonly Step[]
}

interface Fence {
  readonly language: string
  readonly body: readonly string[]
  /** Indexes of the lines with the fences. */
  readonly from: number
  readonly to: number
}

const SHELL = new Set(['sh', 'bash', 'shell', 'console', 'zsh'])

/** Sections by headings of the second level. Throws when a shell block does not say how it is run. */
export function parsePage(text: string): Section[] {
  const lines = text.split('\n')
  const fences = fencesOf(lines)
  const sections: { title: string; steps: Step[] }[] = []
  let next = 0
  lines.forEach((line, index) => {
    if (line.startsWith('## ') && !fences.some(({ from, to }) => index > from && index < to)) {
      sections.push({ title: line.slice(3), steps: [] })
    }
    const fence = fences[next]
    if (fence?.from !== index) return
    next++
    if (!SHELL.has(fence.language)) return
    const section = sections.at(-1)
    if (section === undefined) throw new Error(`line ${index + 1}: a shell block before the first section`)
    section.steps.push(stepOf(lines, fence, fences[next]))
  })
  return sections.filter(({ steps }) => steps.length > 0)
}

function fencesOf(lines: readonly string[]): Fence[] {
  const fences: Fence[] = []
  for (let from = 0; from < lines.length; from++) {
    const opening = /^(`{3,})(\w*)\s*$/.exec(lines[from]!)
    if (opening === null) continue
    const to = lines.findIndex((line, index) => index > from && line.trim() === opening[1])
    if (to < 0) throw new Error(`line ${from + 1}: this block does not end`)
    fences.push({ language: opening[2]!, body: lines.slice(from + 1, to), from, to })
    from = to
  }
  return fences
}

function stepOf(lines: readonly string[], fence: Fence, follower: Fence | undefined): Step {
  const line = fence.from + 1
  const mode = /^<!-- shell: (\w+) -->$/.exec(lines[fence.from - 1] ?? '')?.[1] as Mode | undefined
  if (mode === undefined || !MODES.includes(mode)) {
    throw new Error(`line ${line}: a comment before the shell block must say <!-- shell: ${MODES.join(' | ')} -->`)
  }
  const commands = fence.body.filter((each) => each.trim() !== '' && !each.trim().startsWith('#'))
  const follows = follower?.language === 'text' && follower.from === fence.to + 1
  return { line, mode, commands, output: follows ? follower.body : undefined }
}
