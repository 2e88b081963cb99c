/** The configurations and programs that docs/programs shows are the ones that run here. */
import { readFileSync } from 'node:fs'

/**
 * A block of a page in a language, the first unless told otherwise, with addresses of this run in place of the page's. Throws
 * when the page has no such block, or does not name an address.
 */
export function blockOf(page: string, language: string, replaced: Readonly<Record<string, string>>, at = 0): string {
  const text = readFileSync(new URL(`../../docs/programs/${page}.md`, import.meta.url), 'utf8')
  const blocks = [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))]
  const block = blocks[at]?.[1]
  if (block === undefined) throw new Error(`docs/programs/${page}.md has no block ${at + 1} of ${language}`)
  return Object.entries(replaced).reduce((result, [from, to]) => {
    if (!result.includes(from)) throw new Error(`docs/programs/${page}.md does not name ${from}`)
    return result.replaceAll(from, to)
  }, block)
}
