// biome-ignore-all lint/suspicious/noTemplateCurlyInString: templates of queries are written so
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { queryEntry } from '../../catalog/testing/prepared-query.ts'
import type { QueryService } from '../../model/prepared-query.ts'
import { type CompileRegexp, loadRegexps, MAX_REGEXP_LENGTH } from '../regexps.ts'
import { needsRegexps, renderTemplate, templateFault } from './template.ts'

let regexps: CompileRegexp
beforeAll(async () => {
  regexps = await loadRegexps()
})

const template = (service: Partial<QueryService>, regexp = '', removeEmptyTags = false) =>
  queryEntry('id', { name: 'geo-db', template: { type: 'name_prefix_match', regexp, removeEmptyTags }, service })
const render = (query: ReturnType<typeof template>, name: string) => renderTemplate(query, name, regexps).service
const REGEXP = '^geo-db-(.*?)-([^\\-]+?)$'

describe('templates', () => {
  it('fill every string of the query', () => {
    const all = {
      service: 'db-${match(2)}',
      near: '${name.suffix}',
      tags: [
        '${name.full}',
        '${name.prefix}',
        '${ match( 1 ) }',
        '${match(9)}',
        '${agent.segment}',
        'a$${b}${match(0)}',
      ],
      nodeMeta: { rack: 'r-${match(1)}' },
      serviceMeta: { '${match(1)}': 'x' },
      ignoreCheckIds: ['c-${match(2)}'],
      failover: { nearestN: 1, datacenters: ['${match(1)}-1'], targets: ['${match(1)}-2'] },
    }
    expect(render(template(all, REGEXP), 'geo-db-eu-master')).toMatchObject({
      service: 'db-master',
      near: '-eu-master',
      tags: ['geo-db-eu-master', 'geo-db', 'eu', '', '', 'a${b}geo-db-eu-master'],
      nodeMeta: { rack: 'r-eu' },
      serviceMeta: { '${match(1)}': 'x' },
      ignoreCheckIds: ['c-master'],
      failover: { datacenters: ['eu-1'], targets: ['eu-2'] },
    })
  })

  it('parts that do not match come to nothing, and tags of nothing can be dropped', () => {
    expect(render(template({ tags: ['${match(1)}', 'x'] }, REGEXP), 'geo-db-x').tags).toEqual(['', 'x'])
    expect(render(template({ tags: ['${match(1)}', ''] }, '', true), 'geo-db-x').tags).toEqual([])
  })

  it('a query that is none stays as it is', () => {
    const plain = queryEntry('id', { service: { service: '${name.full}' } })
    expect(renderTemplate(plain, 'any', undefined)).toBe(plain)
    expect([needsRegexps(plain), needsRegexps(template({})), needsRegexps(template({}, 'a'))]).toEqual([
      false,
      false,
      true,
    ])
  })

  it.each([
    [template({}, '('), 'Bad Regexp: error parsing regexp: missing closing ): `(`'],
    [template({}, 'a'.repeat(MAX_REGEXP_LENGTH + 1)), /^Bad Regexp: error parsing regexp: 513 characters/],
    [template({}, '((a{100}){100})'), /^Bad Regexp: error parsing regexp: .*(too large|invalid repeat)/],
    [template({ service: '${name.ful}' }), /^Bad format '\$\{name\.ful\}' in Service\.Service: unknown expression/],
    [template({ tags: ['a', '${match(x)}'] }), /in Service\.Tags\[1\]: unknown expression/],
    [template({ nodeMeta: { a: '${' } }), /in Service\.NodeMeta\[a\]: expected "\}"/],
    [template({ tags: ['$${'] }), undefined],
  ])('%# faults are told', (query, fault) => {
    if (fault === undefined) expect(templateFault(query, regexps)).toBeUndefined()
    else expect(templateFault(query, regexps)).toMatch(fault)
  })

  it('what comes out is bounded', () => {
    const large = template({ tags: Array.from({ length: 200 }, () => '${name.full}') })
    expect(() => render(large, `geo-db${'x'.repeat(1_000)}`)).toThrow('comes to more than')
  })

  it('any text is either refused or rendered, and text without ${ is left alone', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (text, name) => {
        const query = template({ service: text })
        const rendered = () => render(query, `geo-db${name}`).service
        if (templateFault(query, regexps) !== undefined) expect(rendered).toThrow('Bad format')
        else if (!text.includes('${')) expect(rendered()).toBe(text)
        else rendered()
      }),
    )
  })
})
