import type { Listener, Transport } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'

/** As libp2p takes transports: called once per node. `components` are libp2p's own. */
// biome-ignore lint/suspicious/noExplicitAny: libp2p hands every transport the components that it asks for
export type TransportFactory = (components: any) => Transport

interface Connecting {
  _connect(address: unknown, options: { signal: AbortSignal }): Promise<unknown>
}

/**
 * TCP whose dials can be given up. The signal is hidden from `net.connect`, which copies own properties only: on Bun it
 * raises an 'error' for an aborted dial after the listener was taken away, and that ends the process. libp2p's own
 * listener on the signal destroys the socket all the same.
 */
export const portableTcp: TransportFactory = (components) => {
  const transport = tcp()(components) as Transport & Connecting
  const connect = transport._connect.bind(transport)
  transport._connect = (address, { signal, ...rest }) =>
    connect(address, Object.assign(Object.create({ signal }) as { signal: AbortSignal }, rest))
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
