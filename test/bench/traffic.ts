/** Counts what a libp2p host receives: bytes of its TCP sockets, and of them the payload of each kind of stream. For benchmarks. */
import type { Connection, MultiaddrConnection, Stream } from '@libp2p/interface'
import type { TransportFactory } from '../../src/federation/transport/tcp.ts'

/** How often new streams are looked for. */
const LOOK_MS = 50

interface Receives {
  onData(data: { readonly byteLength: number }): void
}
interface Components {
  readonly connectionManager: { getConnections(): readonly Connection[] }
}

export class TrafficCounter {
  /** Payload of TCP, in bytes: with what Noise, Yamux and the handshakes add. */
  received = 0
  /** Payload of streams, in bytes, by protocol. */
  readonly byProtocol = new Map<string, number>()
  readonly #seen = new WeakSet<Stream>()
  readonly #timers: NodeJS.Timeout[] = []

  readonly wrap = (factory: TransportFactory): TransportFactory => {
    return (components) => {
      const transport = factory(components)
      const dial = transport.dial.bind(transport)
      transport.dial = (address, options) => dial(address, { ...options, upgrader: this.#counting(options.upgrader) })
      const createListener = transport.createListener.bind(transport)
      transport.createListener = (options) =>
        createListener({ ...options, upgrader: this.#counting(options.upgrader) } as typeof options)
      this.#timers.push(setInterval(() => this.#look(components as Components), LOOK_MS))
      return transport
    }
  }

  reset(): void {
    this.received = 0
    this.byProtocol.clear()
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }

  #counting<T extends object>(upgrader: T): T {
    return new Proxy(upgrader, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        if (name !== 'upgradeInbound' && name !== 'upgradeOutbound') return value.bind(target)
        return (connection: MultiaddrConnection, options: unknown) => {
          heed(connection, (bytes) => {
            this.received += bytes
          })
          return value.call(target, connection, options)
        }
      },
    })
  }

  #look({ connectionManager }: Components): void {
    for (const connection of connectionManager.getConnections()) {
      for (const stream of connection.streams) {
        if (this.#seen.has(stream)) continue
        this.#seen.add(stream)
        heed(stream, (bytes) => {
          this.byProtocol.set(stream.protocol, (this.byProtocol.get(stream.protocol) ?? 0) + bytes)
        })
      }
    }
  }
}

/** An event listener would start the flow before its owner is there to read it. */
function heed(stream: unknown, count: (bytes: number) => void): void {
  const receiver = stream as Receives
  const onData = receiver.onData.bind(receiver)
  receiver.onData = (data) => {
    count(data.byteLength)
    onData(data)
  }
}
