/** The world of a real process, for `main.ts`. */
import { run } from './main.ts'

/** Runs the command line of this process and ends it with the exit code, once all output is written. */
export async function runProcess(): Promise<never> {
  // A reader that went away (`| head`) is no failure, and there is nobody left to tell.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  }
  const exitCode = await run(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    env: process.env,
    isTTY: process.stdout.isTTY === true,
  })
  await Promise.all([process.stdout, process.stderr].map(flushed))
  process.exit(exitCode)
}

/** Writes are done in order: when an empty one is through, all before it are. */
const flushed = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    stream.write('', () => resolve())
  })
