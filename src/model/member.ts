/** A node as the mesh's membership shows it. */
export interface Member {
  readonly name: string
  readonly address: string
  /** libp2p; 0 when unknown. */
  readonly port: number
  readonly datacenter: string
  readonly role: 'server' | 'client'
  readonly status: 'alive' | 'failed' | 'left'
  readonly id: string
  readonly peerId: string
  readonly runtime: string
  readonly version: string
}
