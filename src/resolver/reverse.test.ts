import { describe, expect, test } from 'vitest'
import { encodeNode, encodeService } from '../catalog/codec.ts'
import { Tables } from '../catalog/tables.ts'
import { nodeEntry, serviceEntry } from '../catalog/testing/entries.ts'
import { keys } from '../model/keys.ts'
import type { KeyValue } from '../store/store.ts'
import { REMADE_AFTER_MS, whoHas } from './reverse.ts'

const kv = (key: string, value: Uint8Array, modRevision: number): KeyValue => ({
  key,
  value,
  createRevision: 1,
  modRevision,
  version: 1,
  lease: 0,
})
const nodeAt = (address: string, revision: number) =>
  kv(keys.node('n-1'), encodeNode(nodeEntry('n-1', { address })), revision)
const serviceAt = (address: string, revision: number) =>
  kv(keys.service('n-1', 'web'), encodeService(serviceEntry('n-1', 'web', { address })), revision)

function tables(): Tables {
  const made = new Tables({ datacenter: 'eu-1', epoch: { generation: 0, random: '0'.repeat(16) } })
  made.load(2, [nodeAt('10.0.0.1', 1), serviceAt('FD00::9', 2)])
  return made
}

describe('who has an address', () => {
  test('a node, or an instance of a service, however the address is spelled', () => {
    const view = tables()
    expect(whoHas(view, '10.0.0.1', 0)).toEqual({ node: 'n-1' })
    expect(whoHas(view, 'fd00:0000:0000:0000:0000:0000:0000:0009', 0)).toEqual({ service: 'web' })
    expect(whoHas(view, '10.0.0.2', 0)).toBeUndefined()
  })

  test('follows changes of either, but reads the catalog no more than once a second', () => {
    const view = tables()
    whoHas(view, '10.0.0.1', 0)
    view.apply([{ revision: 3, events: [{ type: 'put', kv: serviceAt('10.0.0.3', 3) }] }])
    expect(whoHas(view, '10.0.0.3', REMADE_AFTER_MS - 1)).toBeUndefined()
    expect(whoHas(view, '10.0.0.3', REMADE_AFTER_MS)).toEqual({ service: 'web' })
    view.apply([{ revision: 4, events: [{ type: 'put', kv: nodeAt('10.0.0.4', 4) }] }])
    expect(whoHas(view, '10.0.0.4', 2 * REMADE_AFTER_MS)).toEqual({ node: 'n-1' })
    expect(whoHas(view, '10.0.0.1', 2 * REMADE_AFTER_MS)).toBeUndefined()
  })
})
