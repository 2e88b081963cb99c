/** The command line of a managed member. */
import { isIP } from 'node:net'
import { hostAndPort } from '../../model/addresses.ts'
import { SNAPSHOT_COUNT } from './raft-log.ts'

export interface MemberArguments {
  readonly bin: string
  readonly name: string
  readonly dataDirectory: string
  /** Address that it listens on; a name listens on all. */
  readonly bind: string
  /** Address or name under which the others reach it. */
  readonly host: string
  readonly clientPort: number
  readonly peerPort: number
  readonly cluster: string
  readonly initial: readonly { readonly name: string; readonly peerUrl: string }[]
  readonly initialState: 'new' | 'existing'
  /** Paths of PEM files. */
  readonly files: { readonly ca: string; readonly cert: string; readonly key: string }
  readonly forceNewCluster: boolean
}

/** etcd's own default is 2 GB; 8 GB is the most that it is recommended for. */
const QUOTA_BYTES = 8 * 2 ** 30

export const urlOf = (host: string, port: number): string => `https://${hostAndPort(host, port)}`

export function memberArguments(o: MemberArguments): string[] {
  const bind = isIP(o.bind) === 0 ? '0.0.0.0' : o.bind
  const { ca, cert, key } = o.files
  return [
    o.bin,
    ...['--name', o.name, '--data-dir', o.dataDirectory],
    ...['--listen-client-urls', urlOf(bind, o.clientPort), '--advertise-client-urls', urlOf(o.host, o.clientPort)],
    ...['--listen-peer-urls', urlOf(bind, o.peerPort), '--initial-advertise-peer-urls', urlOf(o.host, o.peerPort)],
    ...['--initial-cluster', o.initial.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',')],
    ...['--initial-cluster-token', o.cluster, '--initial-cluster-state', o.initialState],
    ...['--client-cert-auth', '--trusted-ca-file', ca, '--cert-file', cert, '--key-file', key],
    ...['--peer-client-cert-auth', '--peer-trusted-ca-file', ca, '--peer-cert-file', cert, '--peer-key-file', key],
    ...['--quota-backend-bytes', String(QUOTA_BYTES)],
    ...['--logger', 'zap', '--log-outputs', 'stderr', '--log-level', 'warn'],
    ...(o.forceNewCluster ? ['--force-new-cluster', '--snapshot-count', String(SNAPSHOT_COUNT)] : []),
  ]
}
