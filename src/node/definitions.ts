/** Services and checks that files define, judged as registrations of the API are. */
import type { FileDefinitions } from '../agent/file-definitions.ts'
import type { FileDefinition } from '../consul-config/translate.ts'
import { decodeBody } from '../http/body/decode.ts'
import { checkRegistrationSchema, serviceRegistrationSchema } from '../http/body/schemas.ts'
import { HttpError } from '../http/errors.ts'
import { checkDefinition, serviceDefinition } from '../http/routes/registration.ts'
import { AtollError } from '../model/errors.ts'
import type { LocalCheckDefinition, LocalServiceDefinition } from '../model/local.ts'

/** Of two with one id the last counts. Throws AtollError 'invalid' that names the file and the field. */
export function localDefinitions(definitions: readonly FileDefinition[]): FileDefinitions {
  const services = new Map<string, LocalServiceDefinition>()
  const checks = new Map<string, LocalCheckDefinition>()
  for (const definition of definitions) {
    if (definition.kind === 'service') {
      const service = judged(definition, serviceOf)
      services.set(service.id.toLowerCase(), service)
    } else {
      const check = judged(definition, checkOf)
      checks.set((check.checkId || check.name).toLowerCase(), check)
    }
  }
  return { services: [...services.values()], checks: [...checks.values()] }
}

function judged<T>(definition: FileDefinition, read: (fields: Fields) => T): T {
  try {
    return read(definition.fields)
  } catch (error) {
    if (!(error instanceof HttpError)) throw error
    const { name, id } = definition.fields
    const which = [id, name].find((one) => typeof one === 'string' && one !== '') ?? ''
    const message = `${definition.source}: ${definition.kind} "${String(which)}": ${error.message}`
    throw new AtollError('invalid', message, { field: definition.kind, cause: error })
  }
}

type Fields = Readonly<Record<string, unknown>>

function serviceOf(fields: Fields): LocalServiceDefinition {
  const { checks, ...given } = withoutUnderscores(fields)
  const all = listOf(given.check).concat(listOf(checks)).map(withoutUnderscores)
  const body = { ...given, check: undefined, checks: all }
  const service = serviceDefinition(decodeBody(serviceRegistrationSchema, encoded(body), ''))
  return { ...service, fromFile: true, checks: service.checks.map((check) => ({ ...check, fromFile: true })) }
}

const checkOf = (fields: Fields): LocalCheckDefinition => ({
  ...checkDefinition(decodeBody(checkRegistrationSchema, encoded(withoutUnderscores(fields)), '')),
  fromFile: true,
})

const listOf = (value: unknown): Fields[] =>
  value === undefined || value === null ? [] : Array.isArray(value) ? (value as Fields[]) : [value as Fields]

const encoded = (body: Fields): Uint8Array => new TextEncoder().encode(JSON.stringify(body))

/** The API takes names in any case, but few of them with underscores. What they hold stays as it is. */
function withoutUnderscores(fields: Fields): Record<string, unknown> {
  if (typeof fields !== 'object' || fields === null) return fields
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key.replaceAll('_', '').toLowerCase(), value]),
  )
}
