/**
 * Every figure that the project promises, measured on this machine, as one table with its bars. Takes some twelve minutes.
 *
 *   node test/bench/all.ts [remote propagation cut relay start durability kv http dns]
 */
import { execFile } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { loadLine, markdown, note, type Row } from './report.ts'

/** In the order of the table. */
const SCRIPTS = ['remote', 'propagation', 'cut', 'relay', 'start', 'durability', 'kv', 'http', 'dns'] as const
const TIMEOUT_MS = 600_000
const HTTP_SHARE = 60

type Script = (typeof SCRIPTS)[number]

/** What a script said on standard output. A missed bar ends it with 1, so that its exit code says nothing here. */
function run(script: Script): Promise<string> {
  const file = fileURLToPath(new URL(`${script}.ts`, import.meta.url))
  return new Promise((resolve, reject) => {
    const child = execFile(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', file, ...(script === 'http' ? [] : ['--json'])],
      { timeout: TIMEOUT_MS, maxBuffer: 1 << 24 },
      (error, stdout) => (stdout === '' ? reject(error ?? new Error(`${script} said nothing`)) : resolve(stdout)),
    )
    child.stderr!.pipe(process.stderr)
  })
}

async function rowsOf(script: Script): Promise<readonly Row[]> {
  try {
    const output = await run(script)
    return script === 'http' ? httpRows(output) : (JSON.parse(output) as Row[])
  } catch (error) {
    return [{ what: script, measured: `did not run: ${String(error).split('\n')[0]}`, bar: '', met: false }]
  }
}

/** `node  24.1 KB  bare 9000/s  atoll 6300/s ... 70 %`, a line for each runtime. */
const httpRows = (output: string): Row[] =>
  output
    .split('\n')
    .map((line) => /^(node|deno|bun)\s.*?bare (\d+)\/s\s+atoll (\d+)\/s.*?(\d+) %(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, runtime, bare, atoll, share, rest]) => ({
      what: `health look-up of 10 instances (24 KB), 1,000 URLs, 100 changes/s elsewhere: ${runtime}`,
      measured: `${share} % of bare Hono (${atoll} of ${bare} requests/s)${rest!.includes('failed') ? rest : ''}`,
      bar: `${HTTP_SHARE} %`,
      met: Number(share) >= HTTP_SHARE && !rest!.includes('failed'),
    }))

const asked = process.argv.slice(2)
const unknown = asked.find((name) => !SCRIPTS.includes(name as Script))
if (unknown !== undefined) {
  console.error(`there is no benchmark "${unknown}"; there are ${SCRIPTS.join(', ')}`)
  process.exit(2)
}
const rows: Row[] = []
note(`${cpus()[0]?.model ?? 'some processor'}, ${loadLine()}`)
for (const script of SCRIPTS) {
  if (asked.length > 0 && !asked.includes(script)) continue
  note(`--- ${script}`)
  rows.push(...(await rowsOf(script)))
}
console.log(markdown(rows))
process.exitCode = rows.some(({ met }) => met === false) ? 1 : 0
