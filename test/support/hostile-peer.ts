/** Peers that have the keys, and where wanted the certificate, of a node, and say what a test wants. */
import { yamux } from '@chainsafe/libp2p-yamux'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { ConnectionEncrypter, Libp2p } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import type { Role } from '../../src/federation/host.ts'
import { devAuthority } from '../../src/federation/transport/authority.ts'
import { certifiedNoise } from '../../src/federation/transport/encrypter.ts'
import type { Identity } from '../../src/federation/transport/identity.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { systemRandom } from '../../src/runtime/random.ts'
import { MESH } from './hosts.ts'

export type Encrypter = (components: never) => ConnectionEncrypter

/** Without a certificate, unless its encrypter brings one. */
export async function rawNode(identity: Identity, encrypter: Encrypter): Promise<Libp2p> {
  return createLibp2p({
    privateKey: privateKeyFromRaw(Buffer.concat([identity.seed, identity.publicKey])),
    transports: [tcp()],
    connectionEncrypters: [encrypter as never],
    streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: 1 << 20 } })],
    connectionMonitor: { enabled: false },
  })
}

/** With a valid certificate of the test mesh, called `evil`; a client of eu-1 unless told otherwise. */
export async function certifiedNode(
  identity: Identity,
  { datacenter = 'eu-1', role = 'client' }: { readonly datacenter?: string; readonly role?: Role } = {},
): Promise<Libp2p> {
  const authority = devAuthority(MESH)
  const nowMs = systemClock.wallMs()
  const about = { datacenter, role, node: 'evil', nodeId: 'evil' }
  const certificate = await authority.issue({ ...about, publicKey: identity.publicKey, nowMs })
  return rawNode(
    identity,
    certifiedNoise({
      selfPeerId: '',
      bootId: 'evil',
      capabilities: [],
      clock: systemClock,
      random: systemRandom,
      certificate: () => certificate,
      verify: (bytes) => authority.verify(bytes, systemClock.wallMs()),
      wanted: () => true,
      lost: () => '',
      uptimeMs: () => 0,
      admit: async () => {},
      refusedAsTwin() {},
      metSelf: () => {
        throw new Error('never')
      },
      onSecured() {},
      onRefused() {},
    }) as Encrypter,
  )
}
