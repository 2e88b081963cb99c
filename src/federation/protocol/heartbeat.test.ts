import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isProtocolError } from './codec.ts'
import {
  type ChainPosition,
  chainSeed,
  decodeHeartbeat,
  encodeHeartbeat,
  followChain,
  HeartbeatChain,
  heartbeatRef,
  isHeartbeat,
  MAX_HEARTBEATS,
} from './heartbeat.ts'

const SEED = new Uint8Array(32).fill(7)
const REF = '0011223344556677'
const chainOf = (length = 9): { chain: HeartbeatChain; start: ChainPosition } => {
  const chain = new HeartbeatChain(chainSeed(SEED, 5, 1), length)
  return { chain, start: { ref: REF, index: 0, link: chain.anchor } }
}

describe('a chain of heartbeats', () => {
  it('proves each beat once, in order, whichever are lost on the way', () => {
    void fc.assert(
      fc.property(
        fc.integer({ min: 1, max: MAX_HEARTBEATS }),
        fc.array(fc.boolean(), { maxLength: 64 }),
        (length, lost) => {
          const { chain, start } = chainOf(length)
          let position = start
          for (let i = 1; i <= length; i++) {
            const heartbeat = chain.next(REF)!
            if (lost[i]) continue
            const followed = followChain(position, decodeHeartbeat(encodeHeartbeat(heartbeat)))
            expect(followed.type).toBe('next')
            if (followed.type === 'next') position = followed.position
            expect(followChain(position, heartbeat).type).toBe('known')
          }
          expect(chain.next(REF)).toBeUndefined()
        },
      ),
    )
  })

  it('takes nothing that its gateway did not reveal', () => {
    const { chain, start } = chainOf()
    const first = chain.next(REF)!
    expect(followChain(start, { ...first, index: 2 }).type).toBe('false')
    expect(followChain(start, { ...first, link: chain.anchor }).type).toBe('false')
    const other = new HeartbeatChain(chainSeed(SEED, 5, 2), 9)
    expect(followChain(start, other.next(REF)!).type).toBe('false')
    expect(followChain(start, { ...first, index: MAX_HEARTBEATS + 1 }).type).toBe('false')
  })

  it('belongs to one life of one gateway, also when another copies its anchor', () => {
    const { anchor } = chainOf().chain
    const refs = [
      heartbeatRef('p1', 5, anchor),
      heartbeatRef('p2', 5, anchor),
      heartbeatRef('p1', 6, anchor),
      heartbeatRef('p1', 5, new Uint8Array(16)),
    ]
    expect(new Set(refs).size).toBe(4)
  })

  it('is short on the wire, and no other bytes are read', () => {
    const bytes = encodeHeartbeat(chainOf().chain.next(REF)!)
    expect(bytes.length).toBeLessThan(40)
    expect(isHeartbeat(bytes)).toBe(true)
    void fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (random) => {
        try {
          decodeHeartbeat(random)
        } catch (error) {
          expect(isProtocolError(error)).toBe(true)
        }
      }),
    )
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeHeartbeat(bytes.subarray(0, length))).toThrow()
  })
})
