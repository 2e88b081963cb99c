/** What a person at the terminal is told: the message says what is wrong and what to do; no stack is shown. */
export class LauncherError extends Error {
  override readonly name: string = 'LauncherError'
}

/** The message of anything thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
