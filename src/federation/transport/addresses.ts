import { isIP } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import { AtollError } from '../../model/errors.ts'

const UNSPECIFIED = new Set(['', '0.0.0.0', '*'])

export function listenAddress(host: string, port: number): string {
  const name = host === 'localhost' ? '127.0.0.1' : UNSPECIFIED.has(host) ? '0.0.0.0' : host
  const version = isIP(name)
  if (version === 0) {
    throw new AtollError('invalid', `federation.host: "${host}" is no IP address to listen on; write one, or 0.0.0.0`, {
      field: 'federation.host',
    })
  }
  return `/ip${version}/${name}/tcp/${port}`
}

/** A multiaddr of `host:port` or of a multiaddr, which may name a peer; AtollError 'invalid' otherwise. */
export function dialAddress(text: string): string {
  const address = text.startsWith('/') ? text : fromHostPort(text)
  try {
    return multiaddr(address).toString()
  } catch {
    throw notAnAddress(text)
  }
}

export const withPeer = (address: string, peerId: string | undefined): string =>
  peerId === undefined || address.includes('/p2p/') ? address : `${address}/p2p/${peerId}`

export const withoutPeer = (address: string): string => address.replace(/\/p2p\/[^/]+$/, '')

function fromHostPort(text: string): string {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:/[\]]+)):(\d{1,5})$/i.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || !(port >= 1 && port <= 65535)) throw notAnAddress(text)
  const version = isIP(host)
  return `/${version === 0 ? 'dns' : `ip${version}`}/${host}/tcp/${port}`
}

const notAnAddress = (text: string): AtollError =>
  new AtollError('invalid', `address: "${text}" is neither host:port nor a multiaddr like /ip4/10.0.0.1/tcp/8300`, {
    field: 'address',
  })
