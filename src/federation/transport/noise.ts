import { getCiphers } from 'node:crypto'
import { ChaCha20Poly1305, newInstance } from '@chainsafe/as-chacha20poly1305'
import { noise, pureJsCrypto } from '@chainsafe/libp2p-noise'
import { defaultCrypto } from '@chainsafe/libp2p-noise/crypto'

type NoiseCrypto = typeof defaultCrypto

/** Up to here WebAssembly is faster than JavaScript, measured on Bun. */
const WASM_MAX_BYTES = 4096

/**
 * Noise with its default ciphers where `node:crypto` has them. Bun lacks chacha20-poly1305, which the default takes for
 * payloads of 1200 bytes and more: there WebAssembly and JavaScript do it all.
 */
export const portableNoise = (): ReturnType<typeof noise> =>
  getCiphers().includes('chacha20-poly1305') ? noise() : noise({ crypto: portableCrypto() })

function portableCrypto(): NoiseCrypto {
  const wasm = new ChaCha20Poly1305(newInstance())
  return {
    ...defaultCrypto,
    chaCha20Poly1305Encrypt(plaintext, nonce, ad, key) {
      if (plaintext.byteLength >= WASM_MAX_BYTES) {
        return pureJsCrypto.chaCha20Poly1305Encrypt(plaintext, nonce, ad, key)
      }
      return wasm.seal(key, nonce, plaintext.subarray(), ad)
    },
    chaCha20Poly1305Decrypt(ciphertext, nonce, ad, key, target) {
      if (ciphertext.byteLength >= WASM_MAX_BYTES) {
        return pureJsCrypto.chaCha20Poly1305Decrypt(ciphertext, nonce, ad, key, target)
      }
      const plaintext = wasm.open(key, nonce, ciphertext.subarray(), ad, target)
      if (plaintext === null) throw new Error('message of Noise was not authentic')
      return plaintext
    },
  }
}
