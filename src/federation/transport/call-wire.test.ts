import { pack } from 'msgpackr'
import { describe, expect, it } from 'vitest'
import { AtollError } from '../../model/errors.ts'
import { CALL_WIRE_VERSION, type CallFrame, decodeCallFrame, encodeCallFrame, headOfCallFrame } from './call-wire.ts'

const wire = (bytes: Uint8Array, version = CALL_WIRE_VERSION): Uint8Array => Uint8Array.of(version, ...bytes)
const through = (frame: CallFrame): CallFrame => decodeCallFrame(wire(encodeCallFrame(frame)))

describe('call frames', () => {
  it('come back as they were', () => {
    const payload = {
      flags: 2n ** 63n,
      text: 'ü',
      bytes: Uint8Array.of(1, 2),
      list: [1.5, null, true],
      none: undefined,
    }
    const request: CallFrame = { type: 'request', id: 7, method: 'kv.get', payload, deadlineMs: 250 }
    const back = through(request) as Extract<CallFrame, { type: 'request' }>
    expect(back).toMatchObject({ type: 'request', id: 7, method: 'kv.get', deadlineMs: 250 })
    expect(back.payload).toMatchObject({ flags: 2n ** 63n, text: 'ü', list: [1.5, null, true] })
    for (const frame of [
      { type: 'result', id: 1, payload: [1] },
      { type: 'cancel', id: 2 },
      { type: 'ping', sequence: 3 },
      { type: 'pong', sequence: 4 },
      { type: 'certificate', certificate: Uint8Array.of(9) },
    ] as CallFrame[]) {
      expect(through(frame)).toEqual(frame)
    }
  })

  it('carry errors with code, message and field', () => {
    const error = new AtollError('invalid', 'key: too long', { field: 'key' })
    const back = through({ type: 'error', id: 1, error }) as Extract<CallFrame, { type: 'error' }>
    expect(back.error).toBeInstanceOf(AtollError)
    expect(back.error).toMatchObject({ code: 'invalid', message: 'key: too long', field: 'key' })
  })

  it('take an error code that they do not know for an internal one', () => {
    const back = decodeCallFrame(wire(pack([2, 1, 'constructor', 'x', null])))
    expect(back).toMatchObject({ error: { code: 'internal', message: 'x' } })
  })

  it('refuse all else', () => {
    for (const bytes of [
      new Uint8Array(0),
      wire(pack([1, 1, 1]), 9),
      wire(Uint8Array.of(0xc1)),
      wire(pack('text')),
      wire(pack([99, 1])),
      wire(pack([1, 'id', 1])),
      wire(pack([0, 1, 'm'.repeat(300), null, 1])),
      wire(pack([0, 1, 'm', null, -1])),
      wire(Uint8Array.from({ length: 100_000 }, () => 0x91)),
    ]) {
      expect(() => decodeCallFrame(bytes)).toThrow(/call frame cannot be read/)
    }
  })

  it('are told apart without being decoded', () => {
    const withVersion = (frame: CallFrame): Uint8Array => wire(encodeCallFrame(frame))
    for (const id of [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      expect(headOfCallFrame(withVersion({ type: 'result', id, payload: [id] }))).toEqual({
        isRequest: false,
        answers: id,
      })
      const request: CallFrame = { type: 'request', id, method: 'm', payload: null, deadlineMs: 1 }
      expect(headOfCallFrame(withVersion(request))).toEqual({ isRequest: true, answers: undefined })
      expect(headOfCallFrame(withVersion({ type: 'cancel', id })).answers).toBeUndefined()
    }
    for (const odd of [[], [1], [9, 0x93, 1, 1], [1, 0x93, 1], [1, 0x93, 1, 0xce, 1]])
      headOfCallFrame(new Uint8Array(odd))
    expect(headOfCallFrame(new Uint8Array([9, 0x93, 1, 1])).answers).toBeUndefined()
  })
})
