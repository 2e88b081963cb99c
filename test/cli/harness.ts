/** Runs the command line within the test, with a world of its own. */
import { run } from '../../src/cli/main.ts'

export interface Outcome {
  readonly code: number
  readonly out: string
  readonly bytes: Uint8Array
  readonly err: string
}

export interface World {
  readonly stdin?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  /** Width of a terminal; none unless given. */
  readonly columns?: number
  readonly signal?: AbortSignal
  /** Told of each piece of output, for commands that do not end by themselves. */
  readonly onOut?: (text: string) => void
}

export async function runCli(argv: readonly string[], world: World = {}): Promise<Outcome> {
  const out: Uint8Array[] = []
  const err: string[] = []
  const bytesOf = (chunk: string | Uint8Array) => (typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk)
  const code = await run(argv, {
    stdout: {
      write(chunk) {
        out.push(bytesOf(chunk))
        world.onOut?.(Buffer.from(bytesOf(chunk)).toString())
      },
      ...(world.columns === undefined ? {} : { columns: world.columns }),
    },
    stderr: { write: (chunk) => err.push(Buffer.from(bytesOf(chunk)).toString()) },
    stdin: (async function* () {
      if (world.stdin !== undefined) yield world.stdin
    })(),
    env: world.env ?? {},
    isTTY: world.columns !== undefined,
    ...(world.signal ? { signal: world.signal } : {}),
  })
  const bytes = Buffer.concat(out)
  return { code, out: bytes.toString('utf8'), bytes, err: err.join('') }
}
