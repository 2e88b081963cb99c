/** A mesh of one question's worth: answers that a test sets, by kind and datacenter. */

import type { NodeRow } from '../../model/entries.ts'
import type {
  Answer,
  AnswerValue,
  AskOptions,
  Mesh,
  Prepared,
  Question,
  QuestionKind,
  RoutedInstance,
} from '../../resolver/mesh.ts'
import type { DnsSettings } from '../settings.ts'

export const settings = (more: Partial<DnsSettings> = {}): DnsSettings => ({
  host: '127.0.0.1',
  port: 0,
  domains: ['atoll', 'consul'],
  recursors: [],
  recursorTimeoutMs: 500,
  maxPending: 100,
  ttlSeconds: { node: 0, service: {} },
  soa: { refreshSeconds: 3_600, retrySeconds: 600, expireSeconds: 86_400, minimumSeconds: 0 },
  onlyPassing: false,
  truncate: true,
  addressLimit: 0,
  nodeMetaTxt: true,
  maxUdpBytes: 8_192,
  maxTcpConnections: 10,
  tcpIdleMs: 10_000,
  rateLimit: { responsesPerSecond: 0, exempt: [] },
  ...more,
})

export const nodeRow = (node: string, more: Partial<NodeRow> = {}): NodeRow => ({
  id: '',
  node,
  address: '10.0.0.1',
  taggedAddresses: null,
  meta: null,
  owner: 'catalog',
  createIndex: 1,
  modifyIndex: 1,
  ...more,
})

interface InstanceFields {
  readonly node?: Partial<NodeRow>
  readonly service?: Partial<RoutedInstance['service']>
  readonly status?: RoutedInstance['status']
  readonly remote?: RoutedInstance['remote']
}

export function instance(service: string, i: number, fields: InstanceFields = {}): RoutedInstance {
  const node = nodeRow(`n-${i}`, { address: `10.0.${i >> 8}.${i & 255}`, ...fields.node })
  return {
    node,
    service: {
      node: node.node,
      id: `${service}-${i}`,
      service,
      kind: '',
      tags: [],
      address: '',
      taggedAddresses: null,
      meta: null,
      port: 8_000 + i,
      socketPath: '',
      weights: { passing: 1, warning: 1 },
      enableTagOverride: false,
      proxy: null,
      connect: null,
      owner: 'catalog',
      createIndex: 1,
      modifyIndex: 1,
      ...fields.service,
    },
    checks: [],
    status: fields.status ?? 'passing',
    ...(fields.remote && { remote: fields.remote }),
  }
}

type Answering = (question: Question, options: AskOptions) => unknown

export class FakeMesh implements Pick<Mesh, 'datacenter' | 'prepare'> {
  readonly datacenter = 'dc1'
  /** What answers by what is given back: a value, or a whole answer where it has `value`. Throwing is an answer too. */
  answering: Answering = () => []
  /** Whether answers are in memory. */
  immediate = true
  prepared = 0

  prepare<K extends QuestionKind>(question: Question<K>, options: AskOptions): Prepared<AnswerValue<K>> {
    this.prepared++
    // Asked once for the errors of preparing.
    this.#answer(question as Question, options)
    const answer = () => this.#answer(question as Question, options) as Answer<AnswerValue<K>>
    const now = () => (this.immediate ? answer() : undefined)
    return { now, soon: now, answer: async () => answer() }
  }

  #answer(question: Question, options: AskOptions): Answer<unknown> {
    const given = this.answering(question, options)
    const meta = {
      index: 7,
      datacenter: options.datacenter && options.datacenter !== 'nearest' ? options.datacenter : 'dc1',
      source: 'catalog' as const,
      ageMs: 0,
      knownLeader: true,
      consistency: 'stale' as const,
    }
    const whole = typeof given === 'object' && given !== null && 'value' in given
    return whole ? { ...meta, ...(given as { value: unknown }) } : { ...meta, value: given }
  }
}
