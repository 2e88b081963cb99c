/** The pages hold together: links lead somewhere, files that are named are there, and every page can be found from the README. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const inDocs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name))
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...inDocs.filter((name) => name.endsWith('.md'))]

/** Without blocks of code, in which nothing is a link. */
const textOf = (page: string): string =>
  readFileSync(join(root, page), 'utf8')
    .replaceAll('\r', '')
    .replace(/^ *```[\s\S]*?^ *```/gm, '')

/** As GitHub makes them of headings. */
function anchorsOf(page: string): Set<string> {
  const headings = [...textOf(page).matchAll(/^#+ +(.*)$/gm)].map(([, heading]) => heading!)
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  )
}

interface Link {
  readonly to: string
  /** From the project's root. */
  readonly path: string
  readonly anchor: string | undefined
}

const linksOf = (page: string): Link[] =>
  [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, to]) => to!)
    .filter((to) => !/^[a-z]+:/.test(to))
    .map((to) => {
      const [path, anchor] = to.split('#')
      return { to, path: path ? normalize(join(dirname(page), path)) : page, anchor }
    })

describe('the pages', () => {
  it.each(pages)('%s links to what is there', (page) => {
    const dead = linksOf(page).filter(
      ({ path, anchor }) =>
        !existsSync(join(root, path)) || (anchor && path.endsWith('.md') && !anchorsOf(path).has(anchor)),
    )
    expect(dead.map(({ to }) => to)).toEqual([])
  })

  it.each(pages)('%s names files that are there', (page) => {
    const named = [...textOf(page).matchAll(/`((?:node )?(?:src|test|docs|topology)\/[\w./-]+)[` ]/g)]
    const paths = named.map(([, path]) => path!.replace('node ', ''))
    expect(paths.filter((path) => !existsSync(join(root, path)) && !existsSync(join(root, `${path}.ts`)))).toEqual([])
  })

  it('are all found from the README', () => {
    const found = new Set(['README.md'])
    for (const page of found) {
      for (const { path } of linksOf(page)) {
        if (pages.includes(path)) found.add(path)
        else for (const inside of pages) if (dirname(inside) === path) found.add(inside)
      }
    }
    expect(pages.filter((page) => !found.has(page))).toEqual([])
  })
})
