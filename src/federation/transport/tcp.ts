import type { Listener, MultiaddrConnection, Transport, Upgrader } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { Uint8ArrayList } from 'uint8arraylist'

/** As libp2p takes transports: called once per node. `components` are libp2p's own. */
// biome-ignore lint/suspicious/noExplicitAny: libp2p hands every transport the components that it asks for
export type TransportFactory = (components: any) => Transport

/** A longer message goes in the pieces that it has: there the copy would cost more than they do. */
const MAX_COPY_BYTES = 64 << 10

interface Connecting {
  _connect(address: unknown, options: { signal: AbortSignal }): Promise<unknown>
}

/** What is used of connections beyond their published interface. */
export interface Sending {
  sendData(data: Uint8ArrayList): { sentBytes: number; canSendMore: boolean }
}

/**
 * Has messages written in one piece. As it is, each piece of a message costs a system call and a packet: Noise's two bytes
 * of length before every frame are one, which was a third of all that a server of many clients did.
 */
export function inOnePiece(connection: Sending): void {
  const send = connection.sendData.bind(connection)
  connection.sendData = (data) => send(data.byteLength > MAX_COPY_BYTES ? data : new Uint8ArrayList(data.subarray()))
}

const gathering = (upgrader: Upgrader): Upgrader =>
  new Proxy(upgrader, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      if (name !== 'upgradeOutbound' && name !== 'upgradeInbound') return value.bind(target)
      return (connection: MultiaddrConnection, options: unknown) => {
        inOnePiece(connection as unknown as Sending)
        return value.call(target, connection, options)
      }
    },
  })

/**
 * TCP that sends messages in one piece, and whose dials can be given up. The signal is hidden from `net.connect`, which copies own properties only: on Bun it
 * raises an 'error' for an aborted dial after the listener was taken away, and that ends the process. libp2p's own
 * listener on the signal destroys the socket all the same.
 */
export const portableTcp: TransportFactory = (components) => {
  const transport = tcp()(components) as Transport & Connecting
  const connect = transport._connect.bind(transport)
  transport._connect = (address, { signal, ...rest }) =>
    connect(address, Object.assign(Object.create({ signal }) as { signal: AbortSignal }, rest))
  const dial = transport.dial.bind(transport)
  transport.dial = (address, options) => dial(address, { ...options, upgrader: gathering(options.upgrader) })
  const createListener = transport.createListener.bind(transport)
  transport.createListener = (options) => createListener({ ...options, upgrader: gathering(options.upgrader) })
  return transport
}

/** `onError` hears why a listener failed: libp2p itself tells only in a text that has the stack in it. */
export function heedingListeners(factory: TransportFactory, onError: (error: unknown) => void): TransportFactory {
  return (components) => {
    const transport = factory(components)
    const createListener = transport.createListener.bind(transport)
    transport.createListener = (options): Listener => {
      const listener = createListener(options)
      const listen = listener.listen.bind(listener)
      listener.listen = async (address) => {
        try {
          await listen(address)
        } catch (error) {
          onError(error)
          throw error
        }
      }
      return listener
    }
    return transport
  }
}
