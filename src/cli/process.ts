/** The world of a real process, for `main.ts`. */
import { run } from './main.ts'

/** Runs the command line of this process and ends it with the exit code, once all output is written. */
export async function runProcess(): Promise<never> {
  const stdout = output(process.stdout)
  const stderr = output(process.stderr)
  const exitCode = await run(process.argv.slice(2), {
    stdout,
    stderr,
    stdin: process.stdin,
    env: process.env,
    isTTY: process.stdout.isTTY === true,
  })
  await Promise.all([stdout.written(), stderr.written()])
  process.exit(exitCode)
}

/** A stream that knows when all of it is through. Each write is counted: on Bun an empty last one would not wait for those before. */
function output(stream: NodeJS.WriteStream) {
  let pending = 0
  let wake: (() => void) | undefined
  // A reader that went away (`| head`) is no failure, and there is nobody left to tell.
  stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  return {
    get columns() {
      return stream.columns
    },
    write(chunk: string | Uint8Array): void {
      pending++
      stream.write(chunk, () => {
        if (--pending === 0) wake?.()
      })
    },
    written: (): Promise<void> =>
      pending === 0
        ? Promise.resolve()
        : new Promise((resolve) => {
            wake = resolve
          }),
  }
}
