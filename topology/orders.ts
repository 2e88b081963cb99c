/** The child's end of the pipes to the launcher. */

import { LineSplitter, parseLine } from './json-lines.ts'
import type { ChildReport } from './messages.ts'

export function report(message: ChildReport): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

/**
 * Calls `onOrder` for each line on standard input, one after the other, and `onEnd` once when it closes: the launcher
 * wants this process to end, or is gone.
 */
export function receiveOrders<T>(onOrder: (order: T) => void | Promise<void>, onEnd: () => void): void {
  let last: Promise<void> = Promise.resolve()
  const lines = new LineSplitter((line) => {
    const order = parseLine(line)
    if (order === undefined) return
    last = last.then(() => onOrder(order as T)).catch((error: unknown) => console.error(error))
  })
  let ended = false
  const end = (): void => {
    if (ended) return
    ended = true
    onEnd()
  }
  process.stdin.on('data', (chunk: Uint8Array) => lines.push(chunk))
  process.stdin.once('end', end)
  process.stdin.once('close', end)
  process.stdin.once('error', end)
  // The launcher alone decides when its children end; a Ctrl-C at the terminal goes to it too.
  process.on('SIGINT', () => {})
  process.on('SIGHUP', () => {})
  process.on('SIGTERM', end)
}
