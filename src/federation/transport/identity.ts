import { type KeyObject, sign } from 'node:crypto'
import { AtollError } from '../../model/errors.ts'
import type { Disk, Random } from '../../runtime/ports.ts'
import { ed25519PrivateKey, rawPublicKey } from './authority.ts'

/** A node's Ed25519 key: who it is to all others, for as long as its data directory lives. */
export interface Identity {
  /** Raw, 32 bytes each. */
  readonly seed: Uint8Array
  readonly publicKey: Uint8Array
  /** 64 bytes. */
  sign(bytes: Uint8Array): Uint8Array
}

const FILE = 'identity.key'
const SEED_BYTES = 32

/** The key in `directory` (created, mode 0600, when there is none); AtollError 'invalid' when the file is damaged. */
export async function loadIdentity(options: { disk: Disk; directory: string; random: Random }): Promise<Identity> {
  const { disk, directory, random } = options
  const path = disk.join(directory, FILE)
  const stored = await disk.read(path)
  if (stored !== undefined) {
    if (stored.byteLength === SEED_BYTES) return identityOf(Uint8Array.from(stored))
    throw new AtollError(
      'invalid',
      `${path}: an identity has ${SEED_BYTES} bytes, this has ${stored.byteLength}; restore it, or remove it to join as a new node`,
      { field: 'dataDirectory' },
    )
  }
  const seed = random.bytes(SEED_BYTES)
  await disk.makeDirectory(directory)
  await disk.writeAtomic(path, seed, { mode: 0o600 })
  return identityOf(seed)
}

/** A key that is gone with the process, for nodes without a data directory. */
export const freshIdentity = (random: Random): Identity => identityOf(random.bytes(SEED_BYTES))

export function identityOf(seed: Uint8Array): Identity {
  // Kept as a KeyObject: parsing the key anew costs more than the signature.
  const key: KeyObject = ed25519PrivateKey(seed)
  return { seed, publicKey: rawPublicKey(key), sign: (bytes) => sign(null, bytes, key) }
}
