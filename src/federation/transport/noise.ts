import { getCiphers } from 'node:crypto'
import { ChaCha20Poly1305, newInstance } from '@chainsafe/as-chacha20poly1305'
import { noise, pureJsCrypto } from '@chainsafe/libp2p-noise'
import { defaultCrypto } from '@chainsafe/libp2p-noise/crypto'
import type { MessageStream } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import { PackedList } from './packed-list.ts'

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

/** What is used of Noise's streams beyond their published interface. */
export interface Decoding {
  buffer: Uint8ArrayList
  lengthDecoder: (data: Uint8ArrayList) => number
}

const LENGTH_BYTES = 2
const MAX_FRAME_BYTES = 0xffff

/**
 * Has a stream of Noise learn that no further frame has begun without an error (as it is, one is thrown and caught after all
 * that arrives, with its stack: a sixth of what a server of many clients did), and keep a frame that comes in tiny pieces in
 * little more than its bytes.
 */
export function readThriftily(stream: MessageStream): void {
  const { decoder } = stream as MessageStream & { readonly decoder?: Decoding }
  if (!decoder) return
  // Of a frame whose length is not there yet: more than what is there.
  decoder.lengthDecoder = lengthOfFrame
  const buffer = new PackedList()
  buffer.append(decoder.buffer)
  decoder.buffer = buffer
}

export const lengthOfFrame = (data: Uint8ArrayList): number =>
  data.byteLength < LENGTH_BYTES ? MAX_FRAME_BYTES : data.getUint16(0)
