/** Holds answers to the OpenAPI document: status, media type, headers, and every field of a body. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'

interface Media {
  readonly schema?: object
}
interface Header {
  readonly $ref?: string
  readonly schema?: object
}
interface Response {
  readonly $ref?: string
  readonly headers?: Readonly<Record<string, Header>>
  readonly content?: Readonly<Record<string, Media>>
}
export interface Operation {
  readonly operationId: string
  readonly responses: Readonly<Record<string, Response>>
}
export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: {
    readonly responses: Readonly<Record<string, Response>>
    readonly headers: Readonly<Record<string, Header>>
  }
}

export interface GivenAnswer {
  readonly status: number
  /** '' when there is none. */
  readonly contentType: string
  readonly body: Uint8Array
  /** Where they are to be held to the document too. */
  readonly headers?: Headers
}

/** Headers that are about this API, and not about HTTP. */
const OWN_HEADER = /^(x-(consul|atoll)-|x-cache$|age$|retry-after$)/
/** Where the document has them for what was done, they are there. */
const CERTAIN = /^x-(consul-(index|query-backend|default-acl-policy)|atoll-(datacenter|source|age-ms))$/

export class Contract {
  readonly #document: OpenApi
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })
  readonly #validators = new Map<object, ValidateFunction>()
  /** The longest first, as the router takes them. */
  readonly #paths: readonly { readonly template: string; readonly pattern: RegExp }[]

  constructor(document: OpenApi) {
    this.#document = document
    this.#paths = Object.keys(document.paths)
      .sort((a, b) => b.replace(/\{.*/, '').length - a.replace(/\{.*/, '').length || a.length - b.length)
      .map((template) => ({
        template,
        pattern: new RegExp(`^${template.replace(/[.]/g, '\\.').replace(/\{\w+\}$/, '.*')}$`, 's'),
      }))
  }

  get operationIds(): string[] {
    return Object.values(this.#document.paths).flatMap((methods) =>
      Object.values(methods).map(({ operationId }) => operationId),
    )
  }

  /** undefined where the document has no such path or method. */
  operation(method: string, target: string): Operation | undefined {
    const path = target.replace(/\?.*/s, '')
    const template = this.#paths.find(({ pattern }) => pattern.test(path))?.template
    if (template === undefined) return undefined
    return this.#document.paths[template]![method.toLowerCase()]
  }

  /** What the answer has that the document does not say. */
  faults(method: string, target: string, answer: GivenAnswer): string[] {
    const { status, contentType, body, headers } = answer
    const operation = this.operation(method, target)
    if (operation === undefined) return [`${method} ${target} is not in the document`]
    const { responses } = operation
    const key = responses[status] ? String(status) : 'default'
    if (key === 'default' && status < 400) return [`status ${status} is not in the document`]
    const { $ref } = responses[key]!
    const response = $ref ? this.#document.components.responses[$ref.split('/').at(-1)!]! : responses[key]!
    const ofHeaders = headers
      ? this.#headerFaults(response, headers, status < 400).map((fault) => `${status}: ${fault}`)
      : []
    if (ofHeaders.length > 0) return ofHeaders
    if (body.length === 0 && (status >= 300 || response.content === undefined)) return []
    const mediaType = contentType.replace(/;.*/s, '').trim()
    const media = response.content?.[mediaType]
    if (media === undefined) return [`${status}: a body of "${mediaType}" is not in the document`]
    const text = new TextDecoder().decode(body)
    const value: unknown = mediaType === 'application/json' ? JSON.parse(text) : text
    const validate = this.#validator(media.schema ?? {})
    if (validate(value)) return []
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) => `${status}: ${instancePath} ${message} ${JSON.stringify(params)}`,
    )
  }

  /** Those that are not in the document or not as it says, and those that it promises and that are missing. */
  #headerFaults(response: Response, given: Headers, isDone: boolean): string[] {
    const described = new Map(
      Object.entries(response.headers ?? {}).map(([name, { $ref, ...own }]): [string, Header] => [
        name.toLowerCase(),
        $ref ? this.#document.components.headers[$ref.split('/').at(-1)!]! : own,
      ]),
    )
    const faults: string[] = []
    for (const [name, value] of given) {
      if (!OWN_HEADER.test(name)) continue
      const schema = described.get(name)?.schema
      if (schema === undefined) faults.push(`header ${name} is not in the document`)
      else if (!this.#validator(schema)('type' in schema && schema.type === 'integer' ? Number(value) : value))
        faults.push(`header ${name}: ${value} is not as the document says`)
    }
    for (const name of described.keys()) {
      if (isDone && CERTAIN.test(name) && !given.has(name)) faults.push(`header ${name} is missing`)
    }
    return faults
  }

  #validator(schema: object): ValidateFunction {
    const known = this.#validators.get(schema)
    if (known) return known
    const made = this.#ajv.compile({ allOf: [schema], components: this.#document.components })
    this.#validators.set(schema, made)
    return made
  }
}
