import type { Stream } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { expect, it } from 'vitest'
import { AtollError } from '../../model/errors.ts'
import { silentLogger } from '../../runtime/logger.ts'
import { VirtualClock } from '../../runtime/virtual.ts'
import type { Peer } from '../host.ts'
import { type CallFrame, decodeCallFrame, encodeCallFrame, VERSION_BYTE } from './call-wire.ts'
import { CallChannel } from './calls.ts'
import { encodeFrame, FrameDecoder } from './frames.ts'
import { DEFAULT_LIMITS } from './limits.ts'

/** A stream whose other side reads as much as the test says. */
class CallStream extends EventTarget {
  status = 'open'
  readStatus = 'readable'
  writeStatus = 'writable'
  writeBufferLength = 0
  readonly sent: CallFrame[] = []
  send(data: Uint8ArrayList): void {
    const decoder = new FrameDecoder(1 << 20)
    decoder.push(data)
    this.sent.push(decodeCallFrame(decoder.next()!))
  }
  bring(frame: CallFrame): void {
    const data = new Uint8ArrayList(encodeFrame(VERSION_BYTE, encodeCallFrame(frame)))
    this.dispatchEvent(Object.assign(new Event('message'), { data }))
  }
}

it('does not ask for an answer while those before wait to be sent', async () => {
  const clock = new VirtualClock()
  const stream = new CallStream()
  let asked = 0
  const channel = new CallChannel(stream as unknown as Stream, {
    peer: { node: 'b', datacenter: 'us-1' } as Peer,
    clock,
    logger: silentLogger,
    limits: DEFAULT_LIMITS,
    foreign: undefined,
    handler: () => async () => ++asked,
    onHeard() {},
    onRoundTrip() {},
    onCertificate() {},
    onViolation(reason) {
      throw new Error(reason)
    },
    onEnded() {},
  })
  const request = (id: number): CallFrame => ({ type: 'request', id, method: 'm', payload: null, deadlineMs: 1000 })
  stream.writeBufferLength = DEFAULT_LIMITS.maxCallBacklogBytes + 1
  stream.bring(request(1))
  await clock.advance(10)
  expect(asked).toBe(0)
  expect(stream.sent).toEqual([{ type: 'error', id: 1, error: expect.any(AtollError) }])
  expect(stream.sent[0]).toMatchObject({ error: { code: 'overloaded' } })
  stream.writeBufferLength = 0
  stream.bring(request(2))
  await clock.advance(10)
  expect(stream.sent[1]).toEqual({ type: 'result', id: 2, payload: 1 })
  channel.end('over')
})
