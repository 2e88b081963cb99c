/** What the services of the benchmark look like: ten instances make about 24 KB. */
export function metaOfBench(i: number): Record<string, string> {
  const meta: Record<string, string> = { version: `1.2.${i}`, owner: 'team-a' }
  for (let n = 0; n < 4; n++) meta[`note-${n}`] = 'x'.repeat(350)
  return meta
}
