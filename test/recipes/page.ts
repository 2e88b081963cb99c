/** The recipes of docs/recipes.md as functions. */
import { readFileSync } from 'node:fs'

type Recipe = Readonly<Record<string, (...args: unknown[]) => unknown>>

const page = readFileSync(new URL('../../docs/recipes.md', import.meta.url), 'utf8')

/** Names of all recipes on the page. */
export const recipeNames: readonly string[] = [...page.matchAll(/<!-- recipe: (\w+) -->/g)].map((match) => match[1]!)

/** What the code of a recipe defines, as it stands on the page. */
export function recipe<T = Recipe>(name: string): T {
  const code = new RegExp(`<!-- recipe: ${name} -->\\n\`\`\`js\\n([\\s\\S]*?)\n\`\`\``).exec(page)?.[1]
  if (code === undefined) throw new Error(`docs/recipes.md has no recipe ${name}`)
  const defined = [...code.matchAll(/^(?:async )?(?:function\*?|const) (\w+)/gm)].map((match) => match[1]!)
  return new Function(`${code}\nreturn { ${defined.join(', ')} }`)() as T
}
