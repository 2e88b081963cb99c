import { Validator } from '@seriousme/openapi-schema-validator'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { routes } from '../app.ts'
import { shows } from '../described.ts'
import type { Route } from '../route.ts'
import { openApiDocument, operationId } from './document.ts'
import { Components } from './json-schema.ts'

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly description?: string }[]
  readonly responses: Readonly<Record<string, { readonly description?: string }>>
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, object>> }
}

const document = openApiDocument(routes, { version: '0.1.0' }) as Document
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
)

describe('the document', () => {
  test('is valid OpenAPI 3.1', async () => {
    const result = await new Validator().validate(structuredClone<Record<string, unknown>>({ ...document }))
    expect(result.errors ?? []).toEqual([])
    expect(result.valid).toBe(true)
  })

  test('has every route, each under a name of its own', () => {
    expect(operations.length).toBe(routes.length)
    expect(new Set(operations.map((operation) => operation.operationId)).size).toBe(routes.length)
  })

  test('every reference leads somewhere', () => {
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => match[1]!)
    expect(refs.length).toBeGreaterThan(100)
    const missing = new Set(
      refs.filter((ref) => {
        let at: unknown = document
        for (const part of ref.split('/')) at = (at as Record<string, unknown> | undefined)?.[part]
        return at === undefined
      }),
    )
    expect([...missing]).toEqual([])
  })
})

describe('every route', () => {
  test.each(routes.map((route) => [operationId(route), route] as const))('%s', (_, route) => {
    expect(route.summary).toMatch(/^\S.{3,}/)
    const statuses = Object.keys(route.answers)
    expect(statuses.length, 'describe what it answers: `answers`').toBeGreaterThan(0)
    for (const answer of Object.values(route.answers)) expect(answer.what).not.toBe('')
    if (route.path.endsWith('/')) expect(route.rest, 'name the rest of the path: `rest`').toMatch(/^\w+$/)
    if (route.method === 'GET') expect(route.body ?? route.rawBody).toBeUndefined()
  })
})

test('schemas as JSON Schema: names, numbers of 64 bits, durations, strictness', () => {
  const entry = z
    .object({ Big: z.bigint(), N: z.int(), M: z.record(z.string(), z.string()).nullable() })
    .meta({ id: 'E' })
  const components = new Components()
  expect(components.schema(z.array(entry), 'output')).toEqual({
    type: 'array',
    items: { $ref: '#/components/schemas/E' },
  })
  expect(components.schemas.E).toMatchObject({
    properties: { Big: { type: 'integer', format: 'uint64', minimum: 0 }, N: { type: 'integer', format: 'int64' } },
    required: ['Big', 'N', 'M'],
    additionalProperties: false,
  })
  expect(components.schema(entry, 'output')).toEqual({ $ref: '#/components/schemas/E' })
  expect(components.schemas.E).toHaveProperty('properties')
})

test('a route alone makes a document', () => {
  const route: Route = {
    method: 'GET',
    path: '/v1/one/',
    rest: 'key',
    summary: 'One thing',
    answers: { 200: shows('It', z.string()) },
    handle: () => new Response(),
  }
  const { paths } = openApiDocument([route], { version: '1' }) as Document
  const operation = paths['/v1/one/{key}']!.get!
  expect(operation.operationId).toBe('getOneByKey')
  expect(operation.parameters.map(({ name, in: place }) => [name, place])).toEqual([
    ['key', 'path'],
    ['pretty', 'query'],
  ])
  expect(Object.keys(operation.responses).sort()).toEqual(['200', '301', '400', '429', '500', '503', '504', 'default'])
})
