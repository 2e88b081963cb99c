/** Holds answers to the OpenAPI document: status, media type, headers, and every field of a body. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'

interface Media {
  readonly schema?: object
}
interface Response {
  readonly $ref?: string
  readonly content?: Readonly<Record<string, Media>>
}
export interface Operation {
  readonly operationId: string
  readonly responses: Readonly<Record<string, Response>>
}
export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly responses: Readonly<Record<string, Response>> }
}

export interface GivenAnswer {
  readonly status: number
  /** '' when there is none. */
  readonly contentType: string
  readonly body: Uint8Array
}

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
  faults(method: string, target: string, { status, contentType, body }: GivenAnswer): string[] {
    const operation = this.operation(method, target)
    if (operation === undefined) return [`${method} ${target} is not in the document`]
    const { responses } = operation
    const key = responses[status] ? String(status) : 'default'
    if (key === 'default' && status < 400) return [`status ${status} is not in the document`]
    const { $ref } = responses[key]!
    const response = $ref ? this.#document.components.responses[$ref.split('/').at(-1)!]! : responses[key]!
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

  #validator(schema: object): ValidateFunction {
    const known = this.#validators.get(schema)
    if (known) return known
    const made = this.#ajv.compile({ allOf: [schema], components: this.#document.components })
    this.#validators.set(schema, made)
    return made
  }
}
