/** Zod schemas as JSON Schema 2020-12, with the named ones collected as components. */
import * as z from 'zod'
import type { JsonSchema } from '../described.ts'

/** Notes for `body/decode.ts` that say nothing to readers of the document. */
const OWN_NOTES = ['atoll', 'aliases', 'lenient', 'goType', 'id']

export class Components {
  readonly schemas: Record<string, JsonSchema> = {}

  /** `input`: as a body may be sent; `output`: as an answer is. */
  schema(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
    const {
      $schema: _,
      $defs,
      ...json
    } = z.toJSONSchema(schema, {
      io,
      unrepresentable: 'any',
      override: (context) => {
        const { jsonSchema, zodSchema } = context
        amend(jsonSchema as Record<string, unknown>, zodSchema as unknown as z.ZodType, io)
      },
    })
    for (const [name, definition] of Object.entries($defs ?? {})) {
      this.schemas[name] = refsMoved(definition as JsonSchema)
    }
    return refsMoved(json as JsonSchema)
  }
}

function amend(json: Record<string, unknown>, schema: z.ZodType, io: 'input' | 'output'): void {
  const meta = (schema.meta() ?? {}) as { atoll?: string; lenient?: boolean }
  const { type } = schema.def as unknown as { type: string }
  if (type === 'bigint') Object.assign(json, { type: 'integer', format: 'uint64', minimum: 0 })
  if (json.type === 'integer' && type === 'number') {
    json.format = 'int64'
    if (json.minimum === Number.MIN_SAFE_INTEGER) delete json.minimum
    if (json.maximum === Number.MAX_SAFE_INTEGER) delete json.maximum
  }
  if (meta.atoll === 'duration') {
    delete json.anyOf
    Object.assign(json, { type: ['string', 'number'], examples: ['10s'] })
  }
  if (meta.atoll === 'base64') json.contentEncoding = 'base64'
  // Bodies with fields that are not known are refused.
  if (io === 'input' && type === 'object' && !meta.lenient) json.additionalProperties ??= false
  for (const note of OWN_NOTES) delete json[note]
}

const refsMoved = (json: JsonSchema): JsonSchema =>
  JSON.parse(JSON.stringify(json).replaceAll('"#/$defs/', '"#/components/schemas/')) as JsonSchema
