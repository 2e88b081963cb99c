import { writeSync } from 'node:fs'
import { type DestinationStream, type Logger as Pino, pino } from 'pino'
import { LogTap } from './log-tap.ts'
import type { Logger, LogLineLevel } from './ports.ts'

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
  /** Who follows it, of the same level; nobody unless given. */
  readonly tap?: LogTap
}

/** The Logger port over pino, without worker transports, so that it works on every runtime and loses no last line. */
export function pinoLogger(options: LoggerOptions = {}): Logger {
  const level = options.level ?? 'info'
  const tap = options.tap ?? new LogTap(level)
  const destination = options.destination ?? standardError
  const written = options.format === 'line' ? humanLines(destination) : destination
  const line: { level: LogLineLevel } = { level: 'info' }
  const tapped: DestinationStream = {
    write(json) {
      if (tap.tell(json, line.level)) written.write(json)
    },
  }
  return adapt(
    pino(
      {
        // The tap holds back what nobody takes, whose level may change.
        level: 'debug',
        base: options.name === undefined ? {} : { name: options.name },
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
        serializers: { error: pino.stdSerializers.err },
      },
      tapped,
    ),
    tap,
    line,
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

/** `line` tells the destination the level of the line that it is handed. */
function adapt(logger: Pino, tap: LogTap, line: { level: LogLineLevel }): Logger {
  const at =
    (level: LogLineLevel): Logger[LogLineLevel] =>
    (fields, message) => {
      if (!tap.takes(level)) return
      line.level = level
      logger[level](fields, message)
    }
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => adapt(logger.child(fields), tap, line),
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
