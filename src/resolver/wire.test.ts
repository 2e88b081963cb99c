import { Packr } from 'msgpackr'
import { describe, expect, it } from 'vitest'
import type { Command } from '../catalog/catalog.ts'
import { answerOf, askMessageOf, executeMessageOf, resultOf } from './wire.ts'

const packr = new Packr({ useRecords: false })
/** As it arrives. */
const sent = (value: unknown): unknown => packr.unpack(packr.pack(value))

const options = { principal: { token: '' }, consistency: 'default' }
const ask = (question: unknown, more: object = {}) => ({ question, options: { ...options, ...more }, hops: 1 })
const web = { kind: 'service', service: 'web', passing: true, tags: ['v1'], nodeMeta: { rack: '1' } }

const node = { id: '', node: 'n', address: 'a', taggedAddresses: null, meta: { a: 'b' }, owner: 'agent' } as const
const service = {
  node: 'n',
  id: 's',
  service: 's',
  kind: '',
  tags: ['t'],
  address: '',
  taggedAddresses: { wan: { address: 'w', port: 1 } },
  meta: null,
  port: 80,
  socketPath: '',
  weights: { passing: 1, warning: 1 },
  enableTagOverride: false,
  proxy: { Upstreams: [1, 'x'] },
  connect: null,
  owner: 'agent',
} as const
const check = {
  node: 'n',
  checkId: 'c',
  name: 'c',
  status: 'passing',
  notes: '',
  output: 'ok',
  serviceId: '',
  serviceName: '',
  serviceTags: [],
  type: 'http',
  interval: '10s',
  timeout: '',
  exposedPort: 0,
  definition: { HTTP: 'http://x' },
  owner: 'agent',
} as const
const commands: readonly Command[] = [
  { kind: 'register', node, keepNode: false, services: [service], checks: [check] },
  { kind: 'deregister', node: 'n', serviceId: 's' },
  {
    kind: 'agent-sync',
    node,
    services: [{ ...service, failover: false }],
    checks: [],
    removeServices: ['a'],
    removeChecks: [],
    complete: true,
    keepServices: ['b'],
  },
  {
    kind: 'coordinate-update',
    node: 'n',
    segment: '',
    coordinate: { vec: [0, 0, 0, 0, 0, 0, 0, 1.5], error: 1, adjustment: -0.1, height: 1e-5 },
  },
  { kind: 'kv-put', key: 'k', value: Uint8Array.of(1, 2), flags: 2n ** 63n, cas: 0 },
  { kind: 'kv-delete', key: 'k', recurse: true },
]
const execute = (command: unknown, more: object = {}) => ({
  command,
  datacenter: 'eu-1',
  token: '',
  requestId: '6f1b-7',
  hops: 1,
  ...more,
})

describe('what other nodes send', () => {
  it('a question comes through as it was asked', () => {
    const message = askMessageOf(sent(ask(web, { index: 2 ** 41, waitMs: 10 })))
    expect(message).toEqual(ask(web, { index: 2 ** 41, waitMs: 10 }))
    expect(askMessageOf(ask({ ...web, near: undefined, of: 'a newer version' })).question).toEqual(web)
  })

  it('every command that nodes send each other comes through', () => {
    for (const command of commands) {
      const message = executeMessageOf(sent(execute(command)))
      expect(message.command).toEqual(
        command.kind === 'kv-put' ? { ...command, value: expect.any(Uint8Array) } : command,
      )
    }
  })

  it.each([
    ['nothing', undefined],
    ['null', null],
    ['a text', 'x'],
    ['no question', { options, hops: 1 }],
    ['a question without its fields', ask({ kind: 'service' })],
    ['fields of another type', ask({ ...web, tags: 'v1' })],
    ['a name without end', ask({ ...web, service: 'x'.repeat(100_000) })],
    ['tags without end', ask({ ...web, tags: new Array(100_000).fill('') })],
    ['an index that is none', ask(web, { index: Number.NaN })],
    ['a wait that is none', ask(web, { waitMs: 'long' })],
    ['another consistency', ask(web, { consistency: 'eventual' })],
    ['no principal', ask(web, { principal: undefined })],
    ['hops below zero', { ...ask(web), hops: -1 }],
  ])('a question is refused: %s', (_, payload) => {
    expect(() => askMessageOf(payload)).toThrow(expect.objectContaining({ code: 'invalid' }))
  })

  it.each([
    ['null', null],
    ['no command', execute(undefined)],
    ['a command without its fields', execute({ kind: 'register' })],
    ['a value that is no bytes', execute({ kind: 'kv-put', key: 'k', value: 'text', flags: 0n })],
    ['flags that are a number', execute({ kind: 'kv-put', key: 'k', value: new Uint8Array(), flags: 1 })],
    ['a service without weights', execute({ ...commands[0], services: [{ ...service, weights: undefined }] })],
    ['a check of another status', execute({ ...commands[0], checks: [{ ...check, status: 'fine' }] })],
    ['a request id without end', execute(commands[1], { requestId: 'x'.repeat(65) })],
    ['a request id with a path in it', execute(commands[1], { requestId: '../sys' })],
    ['no datacenter', execute(commands[1], { datacenter: undefined })],
  ])('a command is refused: %s', (_, payload) => {
    expect(() => executeMessageOf(payload)).toThrow(expect.objectContaining({ code: 'invalid' }))
  })

  it('what only a leader does, and what is not known here, is unsupported', () => {
    const status = { kind: 'check-status', node: 'n', checkId: 'serfHealth', status: 'critical', output: '' }
    for (const command of [status, { kind: 'failover-return', service: 's', since: 1 }, { kind: 'toString' }]) {
      expect(() => executeMessageOf(execute(command))).toThrow(expect.objectContaining({ code: 'unsupported' }))
    }
    for (const kind of ['intention', 'constructor']) {
      expect(() => askMessageOf(ask({ kind }))).toThrow(expect.objectContaining({ code: 'unsupported' }))
    }
  })
})

describe('what other nodes answer', () => {
  const answer = {
    value: [],
    index: 7,
    datacenter: 'us-1',
    source: 'catalog',
    ageMs: 0,
    knownLeader: true,
    consistency: 'leader',
  }

  it('comes through, with or without a value where that may be', () => {
    expect(answerOf('us-1', 'service', sent(answer))).toEqual({ ...answer, failover: undefined })
    expect(answerOf('us-1', 'kv', sent({ ...answer, value: undefined })).value).toBeUndefined()
    const failover = { from: 'us-1', to: 'ap-1' }
    expect(answerOf('us-1', 'service', sent({ ...answer, failover })).failover).toEqual(failover)
  })

  it.each([
    ['null', null],
    ['no list', { ...answer, value: {} }],
    ['no value', { ...answer, value: undefined }],
    ['no index', { ...answer, index: 'x' }],
    ['no age', { ...answer, ageMs: Number.NaN }],
  ])('is refused: %s', (_, payload) => {
    expect(() => answerOf('us-1', 'service', payload)).toThrow(
      expect.objectContaining({ code: 'unavailable', message: expect.stringContaining('us-1') }),
    )
  })

  it('a write that is confirmed in unknown words has an unknown outcome', () => {
    expect(resultOf('us-1', { index: 3, applied: false })).toEqual({ index: 3, applied: false })
    expect(() => resultOf('us-1', { ok: true })).toThrow(expect.objectContaining({ code: 'unknown-outcome' }))
  })
})
