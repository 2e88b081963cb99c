import { writeSync } from 'node:fs'
import { type DestinationStream, type Logger as Pino, pino } from 'pino'
import type { Logger } from './ports.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export interface LoggerOptions {
  /** Lines below it are dropped. Default 'info'. */
  readonly level?: LogLevel
  /** Who speaks, in every line: the node's name, say. */
  readonly name?: string
  /** 'json': one object per line, for collectors. 'line': time, level, name, message and fields, for people. Default 'json'. */
  readonly format?: 'json' | 'line'
  /** Takes whole lines. Default: standard error, written at once. */
  readonly destination?: { write(line: string): void }
}

/** The Logger port over pino, without worker transports, so that it works on every runtime and loses no last line. */
export function pinoLogger(options: LoggerOptions = {}): Logger {
  const destination = options.destination ?? standardError
  return adapt(
    pino(
      {
        level: options.level ?? 'info',
        base: options.name === undefined ? {} : { name: options.name },
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        serializers: { error: pino.stdSerializers.err },
      },
      options.format === 'line' ? humanLines(destination) : destination,
    ),
  )
}

/** Drops everything; for tests and for parts that were given no logger. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
}

function adapt(logger: Pino): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => adapt(logger.child(fields)),
  }
}

const standardError: DestinationStream = {
  write(line) {
    try {
      writeSync(2, line)
    } catch {
      // A pipe that is full or closed: a node must not die of its log.
    }
  },
}

function humanLines(destination: { write(line: string): void }): DestinationStream {
  return {
    write(json) {
      const { time, level, name, msg, ...fields } = JSON.parse(json) as Record<string, unknown>
      const clock = String(time).slice(11, 23)
      const who = name === undefined ? '' : ` ${name}`
      destination.write(`${clock} ${String(level).toUpperCase().padEnd(5)}${who} ${msg}${humanFields(fields)}\n`)
    },
  }
}

function humanFields(fields: Record<string, unknown>): string {
  let text = ''
  for (const [key, value] of Object.entries(fields)) {
    const shown = value !== null && typeof value === 'object' && 'stack' in value ? (value as Error).message : value
    text += ` ${key}=${typeof shown === 'string' && /^[^\s"=]+$/.test(shown) ? shown : JSON.stringify(shown)}`
  }
  return text
}
