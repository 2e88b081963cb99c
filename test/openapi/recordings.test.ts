/** What Consul answered, held to Atoll's document: a client that is made of it must understand both. */
import { describe, expect, test } from 'vitest'
import { routes } from '../../src/http/app.ts'
import { openApiDocument } from '../../src/http/openapi/document.ts'
import { isBinaryBody, isDigestBody, isObject, isShapeBody, isTextBody } from '../replay/compare.ts'
import { loadRecording, type RecordedBody, SCENARIOS, type Step } from '../replay/recording.ts'
import { Contract, type OpenApi } from './contract.ts'

const contract = new Contract(openApiDocument(routes, { version: '0' }) as OpenApi)
let checked = 0

/** Where Consul answers what Atoll never does; docs/consul-compatibility.md has them all. */
const EXCEPTIONS: readonly { readonly fault: RegExp; readonly why: string }[] = [
  { fault: /\/v1\/(agent\/)?connect\/|\/v1\/discovery-chain\//, why: 'there is no service mesh' },
  { fault: /\/v1\/config\b|federation-states/, why: 'there are no configuration entries' },
  { fault: /\/v1\/agent\/self: 200: .*(Atoll|xDS)/, why: 'Consul has no Atoll, and Atoll no xDS' },
  { fault: /health of node-a after: .*\/Status must be/, why: 'Consul keeps a status that is none' },
]

function bytesOf(body: RecordedBody): Uint8Array | undefined {
  if (isBinaryBody(body)) return Buffer.from(body.base64, 'base64')
  if (isTextBody(body)) return Buffer.from(body.text)
  if (isDigestBody(body) || isShapeBody(body) || (isObject(body) && 'closed' in body)) return undefined
  return Buffer.from(JSON.stringify(body))
}

function faultsOf(step: Step): string[] {
  if (step.query !== undefined || contract.operation(step.method, step.path) === undefined) return []
  const body = bytesOf(step.body)
  if (body === undefined) return []
  const headers = new Map(Object.entries(step.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]))
  checked++
  return contract.faults(step.method, step.path, {
    status: step.status,
    contentType: headers.get('content-type') ?? '',
    body,
  })
}

describe('recorded answers of Consul', () => {
  test.each(SCENARIOS)('%s', (scenario) => {
    const faults = loadRecording(scenario).steps.flatMap((step) =>
      faultsOf(step).map((fault) => `${step.name}: ${step.method} ${step.path}: ${fault}`),
    )
    expect(faults.filter((fault) => !EXCEPTIONS.some((exception) => exception.fault.test(fault)))).toEqual([])
  })

  test('are many', () => {
    expect(checked).toBeGreaterThan(500)
  })
})
