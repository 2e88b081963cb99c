/** What of an output must be as the page shows it: everything but numbers, ages, identities and the width of columns. */

const ANY = '...'

/** ` 81.5 ms` and `1.2 s` are times; `2 of 2` counts and stays; the 1 of `eu-1` is part of a name and stays. */
const SHAPES: readonly (readonly [RegExp, string])[] = [
  // On a busy machine a round trip may be measured longer than the topology sets it.
  [/ \(set: \d+\)/g, ''],
  [/\b12D3KooW\w+/g, '<peer>'],
  [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, '<uuid>'],
  [/(?<![\w-])\d+(?:\.\d+)? (?:ms|s|min|h)\b/g, '<time>'],
  [/(?<![\w-])(?<!of )\d+(?:\.\d+)*(?! of)\b/g, '<n>'],
  [/\s+/g, ' '],
]

const PROTOCOL = /^HTTP\/\d/

/** The lines of an output that count. npm's own words are not of ours. */
export function shapeOf(lines: readonly string[]): string[] {
  return lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(?:npm |> )/.test(line))
    .map((line) => (PROTOCOL.test(line) ? line : SHAPES.reduce((text, [from, to]) => text.replace(from, to), line)))
}

/** Whether an output is as it is shown; both as lines. */
export function looksLike(actual: readonly string[], shown: readonly string[]): boolean {
  return matches(shapeOf(actual), 0, shapeOf(shown), 0)
}

function matches(actual: readonly string[], a: number, shown: readonly string[], s: number): boolean {
  if (s === shown.length) return a === actual.length
  if (shown[s] === ANY) {
    for (let rest = a; rest <= actual.length; rest++) if (matches(actual, rest, shown, s + 1)) return true
    return false
  }
  return a < actual.length && lineMatches(actual[a]!, shown[s]!) && matches(actual, a + 1, shown, s + 1)
}

const lineMatches = (actual: string, shown: string): boolean =>
  shown.endsWith(ANY) ? actual.startsWith(shown.slice(0, -ANY.length)) : actual === shown
