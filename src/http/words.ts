import { badRequest } from './errors.ts'

/** A parameter of the path that must not be empty. */
export function requireText(value: string, missing: string): string {
  if (value === '') throw badRequest(missing)
  return value
}
