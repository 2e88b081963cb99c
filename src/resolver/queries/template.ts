// biome-ignore-all lint/suspicious/noTemplateCurlyInString: templates of queries are written so
/** Templates of prepared queries: `${name.suffix}`, `${match(1)}` and the like in the strings of the query. */
import { AtollError } from '../../model/errors.ts'
import { isTemplate, type PreparedQueryRow, type QueryService } from '../../model/prepared-query.ts'
import type { CompileRegexp, Regexp } from '../regexps.ts'

type Written = Pick<PreparedQueryRow, 'name' | 'template' | 'service'>

/** What a part of a string gives for one name. */
type Part = string | ((name: Named) => string)

interface Named {
  readonly full: string
  readonly prefix: string
  readonly suffix: string
  readonly groups: readonly string[]
}

/** Characters of all strings of one query together, as they come out. */
const MAX_RENDERED = 65_536

const VARIABLES: Readonly<Record<string, (name: Named) => string>> = {
  'name.full': ({ full }) => full,
  'name.prefix': ({ prefix }) => prefix,
  'name.suffix': ({ suffix }) => suffix,
  // There are no segments: Consul gives the same for nodes in none.
  'agent.segment': () => '',
}

/** Whether rendering takes the engine of regular expressions. */
export const needsRegexps = (query: Written): boolean => isTemplate(query) && query.template.regexp !== ''

/**
 * What is wrong with a template; undefined when nothing is. In Consul's words, without what it says before them. `regexps`
 * must be there when the template needs them.
 */
export function templateFault(query: Written, regexps: CompileRegexp | undefined): string | undefined {
  if (!isTemplate(query)) return undefined
  let at = 'Bad Regexp: '
  try {
    if (query.template.regexp !== '') regexps!(query.template.regexp)
    at = ''
    mapStrings(query.service, (text, path) => {
      partsOf(text, path)
      return text
    })
    return undefined
  } catch (error) {
    if (error instanceof AtollError && error.code === 'invalid') return at + error.message
    throw error
  }
}

/**
 * The query as it stands for a name, which begins with its own. Throws AtollError 'invalid' for what comes out too long,
 * or was written by a node that takes more than this one.
 */
export function renderTemplate<T extends Written>(query: T, full: string, regexps: CompileRegexp | undefined): T {
  if (!isTemplate(query)) return query
  const name: Named = {
    full,
    prefix: query.name,
    suffix: full.slice(query.name.length),
    groups: regexpOf(query, regexps)?.match(full) ?? [],
  }
  let length = 0
  const service = mapStrings(query.service, (text, path) => {
    let out = ''
    for (const part of partsOf(text, path)) {
      out += typeof part === 'string' ? part : part(name)
      if (length + out.length > MAX_RENDERED) {
        throw new AtollError('invalid', `${path}: the template comes to more than ${MAX_RENDERED} characters`, {
          field: path,
        })
      }
    }
    length += out.length
    return out
  })
  const { tags } = service
  const kept = query.template.removeEmptyTags && tags !== null ? tags.filter((tag) => tag !== '') : tags
  return { ...query, service: { ...service, tags: kept } }
}

function regexpOf({ template }: Written, regexps: CompileRegexp | undefined): Regexp | undefined {
  if (template.regexp === '') return undefined
  if (regexps === undefined) throw new AtollError('internal', 'regular expressions are not loaded yet')
  return regexps(template.regexp)
}

/** A copy with every string as `change` gives it back. */
function mapStrings(service: QueryService, change: (text: string, path: string) => string): QueryService {
  const list = (texts: readonly string[] | null, name: string) =>
    texts?.map((text, i) => change(text, `${name}[${i}]`)) ?? null
  const map = (texts: Readonly<Record<string, string>> | null, name: string) =>
    texts && Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, change(text, `${name}[${key}]`)]))
  return {
    ...service,
    service: change(service.service, 'Service.Service'),
    failover: {
      ...service.failover,
      datacenters: list(service.failover.datacenters, 'Service.Failover.Datacenters'),
      targets: list(service.failover.targets, 'Service.Failover.Targets'),
    },
    ignoreCheckIds: list(service.ignoreCheckIds, 'Service.IgnoreCheckIDs'),
    near: change(service.near, 'Service.Near'),
    tags: list(service.tags, 'Service.Tags'),
    nodeMeta: map(service.nodeMeta, 'Service.NodeMeta'),
    serviceMeta: map(service.serviceMeta, 'Service.ServiceMeta'),
  }
}

/** Text, and what stands in `${}`; `$${` is `${` itself. */
function partsOf(text: string, path: string): Part[] {
  if (!text.includes('${')) return [text]
  const parts: Part[] = []
  const token = /\$\$\{|\$\{([^}]*)(\}?)/g
  let at = 0
  for (const match of text.matchAll(token)) {
    parts.push(text.slice(at, match.index))
    at = match.index + match[0].length
    if (match[1] === undefined) parts.push('${')
    else if (match[2] === '') throw badFormat(text, path, 'expected "}" but found the end')
    else parts.push(expressionOf(match[1].trim(), text, path))
  }
  parts.push(text.slice(at))
  return parts
}

function expressionOf(expression: string, text: string, path: string): Part {
  if (Object.hasOwn(VARIABLES, expression)) return VARIABLES[expression]!
  const group = /^match\(\s*(\d{1,4})\s*\)$/.exec(expression)
  if (group) {
    const index = Number(group[1])
    return ({ groups }) => groups[index] ?? ''
  }
  const known = [...Object.keys(VARIABLES), 'match(n)'].join(', ')
  throw badFormat(text, path, `unknown expression ${JSON.stringify(expression)}; there are ${known}`)
}

const badFormat = (text: string, path: string, why: string): AtollError =>
  new AtollError('invalid', `Bad format '${text}' in ${path}: ${why}`, { field: path })
