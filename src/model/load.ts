/** A load in text, as a header has it; undefined for one that is none. */
export function parseLoad(text: string | undefined): number | undefined {
  if (text === undefined || !/^(?:0|1|0?\.\d+|[01]\.\d*)$/.test(text.trim())) return undefined
  const load = Number(text)
  return load <= 1 ? load : undefined
}
