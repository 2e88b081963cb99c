/** Other names: handed to the resolvers of the configuration, one after the other, and their answers handed back. */
import { addressBytes } from '../model/addresses.ts'
import { AtollError } from '../model/errors.ts'
import type { Clock, Random, Runtime, SocketAddress } from '../runtime/ports.ts'
import { NAME_AT } from './query.ts'

export interface RecursorsOptions extends Pick<Runtime, 'openUdp' | 'connectTcp'> {
  readonly clock: Clock
  readonly random: Random
  /** As address:port. */
  readonly recursors: readonly string[]
  readonly timeoutMs: number
}

export const DNS_PORT = 53
const MAX_MESSAGE_BYTES = 65_535

/** `10.0.0.53`, `10.0.0.53:5353`, `[fd00::53]:53` or `fd00::53`. Throws AtollError 'invalid'. */
export function parseRecursor(text: string): SocketAddress {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [
    undefined,
    undefined,
    text,
  ]
  const address = bracketed ?? plain ?? ''
  const number = port === undefined ? DNS_PORT : Number(port)
  if (addressBytes(address) === undefined || number < 1 || number > 65_535) {
    throw new AtollError('invalid', `dns.recursors: "${text}" is no address with a port; write it like 10.0.0.53:53`, {
      field: 'dns.recursors',
    })
  }
  return { address, port: number }
}

export class Recursors {
  readonly #options: RecursorsOptions
  readonly #servers: readonly SocketAddress[]

  /** Throws AtollError 'invalid' when an address is none. */
  constructor(options: RecursorsOptions) {
    this.#options = options
    this.#servers = options.recursors.map(parseRecursor)
  }

  get available(): boolean {
    return this.#servers.length > 0
  }

  /** The first answer, with the query's id; undefined when none came in time. Never rejects. */
  async ask(query: Uint8Array, transport: 'udp' | 'tcp', signal: AbortSignal): Promise<Uint8Array | undefined> {
    const own = query.slice()
    // Who cannot see the query has to guess its id and its port.
    own.set(this.#options.random.bytes(2))
    for (const server of this.#servers) {
      if (signal.aborted) return undefined
      const answer = await this.#askOne(own, server, transport, signal)
      if (answer === undefined) continue
      answer.set(query.subarray(0, 2))
      return answer
    }
    return undefined
  }

  async #askOne(
    query: Uint8Array,
    server: SocketAddress,
    transport: 'udp' | 'tcp',
    parent: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const { signal, done } = this.#options.clock.deadline(this.#options.timeoutMs, parent)
    try {
      return await (transport === 'udp' ? this.#byUdp(query, server, signal) : this.#byTcp(query, server, signal))
    } catch {
      return undefined
    } finally {
      done()
    }
  }

  /** A socket, and so a port, for each query. */
  async #byUdp(query: Uint8Array, server: SocketAddress, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>()
    const socket = await this.#options.openUdp({
      hostname: server.address.includes(':') ? '::' : '0.0.0.0',
      port: 0,
      onDatagram(data, from) {
        if (from.port === server.port && isAnswerTo(query, data)) resolve(data.slice())
      },
    })
    try {
      onAbort(signal, () => resolve(undefined))
      socket.send(query, server)
      return await promise
    } finally {
      await socket.close()
    }
  }

  async #byTcp(query: Uint8Array, server: SocketAddress, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>()
    let received = new Uint8Array(0)
    const connection = await this.#options.connectTcp({
      host: server.address,
      port: server.port,
      timeoutMs: this.#options.timeoutMs,
      onData(data) {
        const joined = new Uint8Array(received.length + data.length)
        joined.set(received)
        joined.set(data, received.length)
        received = joined
        if (received.length < 2) return
        const end = 2 + ((received[0]! << 8) | received[1]!)
        const message = received.subarray(2, end)
        if (received.length >= end) resolve(isAnswerTo(query, message) ? message.slice() : undefined)
        else if (received.length > MAX_MESSAGE_BYTES) resolve(undefined)
      },
      onClose: () => resolve(undefined),
    })
    try {
      onAbort(signal, () => resolve(undefined))
      connection.send(framed(query))
      return await promise
    } finally {
      connection.close()
    }
  }
}

function onAbort(signal: AbortSignal, fn: () => void): void {
  if (signal.aborted) fn()
  else signal.addEventListener('abort', fn, { once: true })
}

/** A message as TCP carries it: after its length. */
export function framed(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(2 + message.length)
  out[0] = message.length >> 8
  out[1] = message.length & 0xff
  out.set(message, 2)
  return out
}

/** The same id, an answer, and the same question (RFC 5452). */
export function isAnswerTo(query: Uint8Array, answer: Uint8Array): boolean {
  if (answer.length < NAME_AT || (answer[2]! & 0x80) === 0) return false
  if (answer[0] !== query[0] || answer[1] !== query[1]) return false
  let at = NAME_AT
  while (at < query.length && query[at]! !== 0) at += query[at]! + 1
  for (let i = NAME_AT; i < at + 5; i++) if (lower(answer[i]) !== lower(query[i])) return false
  return true
}

const lower = (byte: number | undefined): number | undefined =>
  byte !== undefined && byte >= 65 && byte <= 90 ? byte + 32 : byte
