import { credentials } from '@grpc/grpc-js'
import type { Clock, Logger, Random } from '../../runtime/ports.ts'
import { Cluster } from './cluster.ts'

export interface EtcdTls {
  /** Certificates in PEM of who may sign the members'; the machine's own unless given. */
  readonly ca?: Uint8Array
  /** Certificate and key in PEM by which this client is known. */
  readonly cert?: Uint8Array
  readonly key?: Uint8Array
  /** Name that the members' certificates are for, where they are dialled under another. */
  readonly serverName?: string
}

export interface EtcdOptions {
  /** Members as host:port. */
  readonly members: readonly string[]
  /** Everything is kept below this prefix; ends with '/'. */
  readonly prefix: string
  /** Datacenter whose store this is: another is refused. */
  readonly owner: string
  readonly tls?: EtcdTls
  readonly login?: { readonly user: string; readonly password: string }
  readonly clock: Clock
  readonly random: Random
  readonly logger?: Logger
  /** Gets the store's connections, so that who knows of it tells them that members came or went. */
  readonly connected?: (cluster: Pick<Cluster, 'setMembers'>) => void
}

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

/** Connections to the members; made as they are needed, so that this never fails. To be closed. */
export const connect = ({ members, tls, login, clock, logger = silent }: EtcdOptions): Cluster =>
  new Cluster({
    members,
    credentials: tls ? credentials.createSsl(...pemOf(tls)) : credentials.createInsecure(),
    serverName: tls?.serverName,
    login,
    clock,
    logger,
  })

const pemOf = ({ ca, cert, key }: EtcdTls): [ca: Buffer | null, key: Buffer | null, cert: Buffer | null] => [
  ca ? Buffer.from(ca) : null,
  key ? Buffer.from(key) : null,
  cert ? Buffer.from(cert) : null,
]
