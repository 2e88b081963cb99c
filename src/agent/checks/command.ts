/** Checks that run a program, on this machine or in a container: 0 passes, 1 warns, all else is critical. */
import { formatDuration } from '../../model/duration.ts'
import { messageOf } from '../../model/errors.ts'
import type { CommandResult } from '../../runtime/probes.ts'
import { decodeBounded, isTimeout, type Outcome } from './outcome.ts'

/** Never rejects: what goes wrong is the outcome. */
export async function commandOutcome(run: Promise<CommandResult>, timeoutMs: number): Promise<Outcome> {
  try {
    const result = await run
    return { status: statusOf(result.exitCode), output: outputOf(result) }
  } catch (error) {
    return isTimeout(error) ? commandTimedOut(timeoutMs) : { status: 'critical', output: messageOf(error) }
  }
}

/** The outcome of a run that was given up. */
export const commandTimedOut = (timeoutMs: number): Outcome => ({
  status: 'critical',
  output: `Timed out (${formatDuration(timeoutMs)}) running check`,
})

function statusOf(exitCode: number | undefined): Outcome['status'] {
  if (exitCode === 0) return 'passing'
  return exitCode === 1 ? 'warning' : 'critical'
}

function outputOf({ output, outputBytes }: CommandResult): string {
  const text = decodeBounded(output, output.length).toWellFormed()
  return outputBytes > output.length ? `Captured ${output.length} of ${outputBytes} bytes\n...\n${text}` : text
}

/** What systemd says of a unit. `systemctl is-active` tells it on its output, and by 0 or 3. */
export async function osServiceOutcome(run: Promise<CommandResult>, name: string): Promise<Outcome> {
  try {
    const { output } = await run
    const state = decodeBounded(output, output.length).toWellFormed().trim()
    const status = state === 'active' ? 'passing' : TURNING.has(state) ? 'warning' : 'critical'
    return { status, output: `OS service ${name}: ${state === '' ? 'unknown' : state}` }
  } catch (error) {
    const reason = isTimeout(error) ? 'systemd did not answer in time' : messageOf(error)
    return { status: 'critical', output: `OS service ${name}: ${reason}` }
  }
}

const TURNING = new Set(['activating', 'reloading', 'refreshing'])
