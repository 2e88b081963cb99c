import type { DialAttempt } from './encrypter.ts'

/** What came of a dial; `error` is undefined when the handshake is done. */
export interface Dialled {
  readonly attempt: DialAttempt
  readonly error: unknown
}

interface Underway {
  readonly peerId: string | undefined
  readonly signal: AbortSignal
  readonly ended: Promise<Dialled>
}

/**
 * One handshake where two are asked for: a node that joins an address mostly learns whose it is, from others, while it still
 * dials it. A dial that names a peer and one that names none are the same to one address. Two that name different peers are
 * not: behind a NAT each may lead to another.
 */
export class SharedDials {
  readonly #dial: (address: string, attempt: DialAttempt, signal: AbortSignal) => Promise<void>
  readonly #underway = new Map<string, Underway>()

  /** `dial` resolves when the handshake is done. */
  constructor(dial: (address: string, attempt: DialAttempt, signal: AbortSignal) => Promise<void>) {
    this.#dial = dial
  }

  /** Rejects with the signal's reason alone. */
  async dial(address: string, peerId: string | undefined, signal: AbortSignal): Promise<Dialled> {
    for (;;) {
      const other = this.#underway.get(address)
      if (other === undefined || (other.peerId !== undefined && peerId !== undefined && other.peerId !== peerId))
        return this.#begin(address, peerId, signal)
      const dialled = await unlessAborted(other.ended, signal)
      // One that was only given up says nothing.
      if (dialled.error === undefined || !other.signal.aborted) return dialled
    }
  }

  async #begin(address: string, peerId: string | undefined, signal: AbortSignal): Promise<Dialled> {
    signal.throwIfAborted()
    const ended = this.#run(address, signal)
    const underway = { peerId, signal, ended }
    this.#underway.set(address, underway)
    try {
      return await ended
    } finally {
      if (this.#underway.get(address) === underway) this.#underway.delete(address)
    }
  }

  async #run(address: string, signal: AbortSignal): Promise<Dialled> {
    const attempt: DialAttempt = {}
    try {
      await this.#dial(address, attempt, signal)
      return { attempt, error: undefined }
    } catch (error) {
      return { attempt, error: error ?? new Error('the dial failed') }
    }
  }
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
