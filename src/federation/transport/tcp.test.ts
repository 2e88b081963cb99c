import { Uint8ArrayList } from 'uint8arraylist'
import { describe, expect, it } from 'vitest'
import { inOnePiece } from './tcp.ts'

/** Takes whole pieces until it has `room` for no more, as a socket does. */
class Pieces {
  readonly sent: Uint8Array[] = []
  readonly #room: number

  constructor(room = Number.POSITIVE_INFINITY) {
    this.#room = room
    inOnePiece(this)
  }

  sendData(data: Uint8ArrayList): { sentBytes: number; canSendMore: boolean } {
    let sentBytes = 0
    for (const piece of data) {
      this.sent.push(piece)
      sentBytes += piece.byteLength
      if (sentBytes >= this.#room) return { sentBytes, canSendMore: false }
    }
    return { sentBytes, canSendMore: true }
  }
}

const list = (...sizes: number[]): Uint8ArrayList =>
  new Uint8ArrayList(...sizes.map((size, i) => new Uint8Array(size).fill(i + 1)))

describe('a connection', () => {
  it('gets a message in one piece, with the bytes in order', () => {
    const connection = new Pieces()
    expect(connection.sendData(list(2, 3, 1))).toEqual({ sentBytes: 6, canSendMore: true })
    expect(connection.sent).toEqual([Uint8Array.of(1, 1, 2, 2, 2, 3)])
  })

  it('says of the whole when it can take no more', () => {
    const connection = new Pieces(2)
    expect(connection.sendData(list(2, 3))).toEqual({ sentBytes: 5, canSendMore: false })
  })

  it('gets a long one as it is, and what it did not take stays', () => {
    const connection = new Pieces(2)
    expect(connection.sendData(list(2, 70_000))).toEqual({ sentBytes: 2, canSendMore: false })
    expect(connection.sent).toHaveLength(1)
  })
})
