/** A mesh that answers what a test put into it, and remembers what it was told. */
import type { Command } from '../../catalog/catalog.ts'
import type { CheckRow, Instance, KvRow, NodeRow, ServiceRow } from '../../model/entries.ts'
import { AtollError } from '../../model/errors.ts'
import type { LocalCheckDefinition, LocalServiceDefinition } from '../../model/local.ts'
import type { AgentDoor } from '../../resolver/agent-door.ts'
import type {
  Answer,
  AnswerValue,
  AskOptions,
  CommandOptions,
  Mesh,
  Prepared,
  Question,
  QuestionKind,
} from '../../resolver/mesh.ts'

export interface FakeMesh extends Mesh {
  /** What each kind of question is answered. */
  readonly answers: { [K in QuestionKind]?: AnswerValue<K> }
  /** Fields of the next answers. */
  meta: Partial<Answer<unknown>>
  readonly asked: { question: Question; options: AskOptions }[]
  readonly commands: { command: Command; options: CommandOptions }[]
  readonly restored: Uint8Array[]
  readonly local: { services: LocalServiceDefinition[]; checks: LocalCheckDefinition[]; calls: unknown[][] }
  /** Whether `now()` has an answer. */
  immediate: boolean
  /** What `soon()` waits for where `now()` has no answer; undefined: it has none either. */
  barrier: (() => Promise<void>) | undefined
  prepared: number
  /** Ends the waits of blocking questions with this index. */
  change(index: number): void
  readonly waiting: Set<() => void>
}

export function fakeMesh(): FakeMesh {
  const mesh: FakeMesh = {
    answers: {},
    meta: {},
    asked: [],
    commands: [],
    restored: [],
    local: { services: [], checks: [], calls: [] },
    immediate: true,
    barrier: undefined,
    prepared: 0,
    waiting: new Set(),
    agent: undefined as unknown as AgentDoor,
    datacenter: 'dc1',
    nodeName: 'n1',
    change(index) {
      mesh.meta = { ...mesh.meta, index }
      for (const wake of [...mesh.waiting]) wake()
    },
    prepare<K extends QuestionKind>(question: Question<K>, options: AskOptions): Prepared<AnswerValue<K>> {
      mesh.prepared++
      mesh.asked.push({ question: question as Question, options })
      if (options.datacenter === 'dc9') throw new AtollError('no-path', 'dc9 is not known', { field: 'dc' })
      const answer = (): Answer<AnswerValue<K>> => ({
        index: 7,
        datacenter: 'dc1',
        source: 'catalog',
        ageMs: 0,
        knownLeader: true,
        consistency: options.consistency === 'default' ? 'leader' : options.consistency,
        ...mesh.meta,
        value: mesh.answers[question.kind] as AnswerValue<K>,
      })
      return {
        now: () => (mesh.immediate ? answer() : undefined),
        soon: () => (mesh.immediate ? answer() : mesh.barrier?.().then(answer)),
        async answer(waiting) {
          if (waiting?.index !== undefined && answer().index <= waiting.index) await untilWoken(mesh, waiting.signal)
          return answer()
        },
      }
    },
    ask: (question, options) => mesh.prepare(question, options).answer(),
    async execute(command, options) {
      mesh.commands.push({ command, options })
      return { index: 8, applied: true }
    },
    explain: async (service) => ({ service, datacenter: 'dc1', chosen: undefined, candidates: [] }),
    status: async () => ({
      datacenter: 'dc1',
      node: 'n1',
      role: 'server',
      runtime: 'node',
      datacenters: [],
      doubt: { score: 0, of: 4 },
      hedges: 0,
      problems: [],
      links: [],
      summaries: undefined,
    }),
    home: {
      kvChanges: async () => ({ index: 7, compacted: false, changes: [] }),
      saveSnapshot: async () => ({
        index: 7,
        bytes: (async function* () {
          yield new TextEncoder().encode('archive')
        })(),
      }),
      async restoreSnapshot(archive) {
        mesh.restored.push(archive)
      },
    },
    leader: () => '127.0.0.1:8300',
    peers: () => ['127.0.0.1:8300'],
  }
  return Object.assign(mesh, { agent: fakeAgent(mesh) })
}

function untilWoken(mesh: FakeMesh, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      mesh.waiting.delete(wake)
      resolve()
    }
    mesh.waiting.add(wake)
    signal?.addEventListener('abort', wake)
  })
}

function fakeAgent({ local }: FakeMesh): AgentDoor {
  const called =
    (name: string) =>
    async (...args: unknown[]): Promise<never> => {
      local.calls.push([name, ...args])
      return undefined as never
    }
  return {
    self: () => ({
      nodeId: '00000000-0000-0000-0000-000000000001',
      node: 'n1',
      datacenter: 'dc1',
      server: true,
      version: '0.1.0',
      runtime: 'node',
      address: '127.0.0.1',
      taggedAddresses: {},
      meta: { env: 'test' },
      peerId: 'peer',
      addresses: [],
      ports: { http: 8500, libp2p: 8300 },
    }),
    reportLoad: (...args) => void local.calls.push(['reportLoad', ...args]),
    services: () => local.services,
    service: (id) => local.services.find((service) => service.id === id),
    checks: () =>
      local.checks.map((definition) => ({
        definition,
        status: definition.status,
        output: '',
        serviceName: '',
        serviceTags: [],
      })),
    async registerService(definition) {
      local.services = [...local.services.filter(({ id }) => id !== definition.id), definition]
      local.checks.push(...definition.checks)
    },
    async deregisterService(id) {
      if (!local.services.some((service) => service.id === id)) throw new AtollError('not-found', id)
      local.services = local.services.filter((service) => service.id !== id)
    },
    async registerCheck(definition) {
      local.checks.push(definition)
    },
    deregisterCheck: called('deregisterCheck'),
    updateTtl: called('updateTtl'),
    setServiceMaintenance: called('setServiceMaintenance'),
    setNodeMaintenance: called('setNodeMaintenance'),
    members: async () => [],
    join: called('join'),
    leave: called('leave'),
    forceLeave: called('forceLeave'),
    reload: called('reload'),
  }
}

const indexed = { createIndex: 5, modifyIndex: 6 }

export const nodeRow = (node: string, more: Partial<NodeRow> = {}): NodeRow => ({
  id: '',
  node,
  address: '10.0.0.1',
  taggedAddresses: null,
  meta: null,
  owner: 'catalog',
  ...indexed,
  ...more,
})

export const serviceRow = (node: string, service: string, more: Partial<ServiceRow> = {}): ServiceRow => ({
  node,
  id: service,
  service,
  kind: '',
  tags: [],
  address: '',
  taggedAddresses: null,
  meta: null,
  port: 80,
  socketPath: '',
  weights: { passing: 1, warning: 1 },
  enableTagOverride: false,
  proxy: null,
  connect: null,
  owner: 'catalog',
  ...indexed,
  ...more,
})

export const checkRow = (node: string, checkId: string, more: Partial<CheckRow> = {}): CheckRow => ({
  node,
  checkId,
  name: checkId,
  status: 'passing',
  notes: '',
  output: '',
  serviceId: '',
  serviceName: '',
  serviceTags: [],
  type: '',
  interval: '',
  timeout: '',
  exposedPort: 0,
  definition: {},
  owner: 'catalog',
  ...indexed,
  ...more,
})

export const instance = (node: string, service: string, more: Partial<ServiceRow> = {}): Instance => ({
  node: nodeRow(node),
  service: serviceRow(node, service, more),
  checks: [checkRow(node, 'alive')],
  status: 'passing',
})

export const kvRow = (key: string, value: string, flags = 0n): KvRow => ({
  key,
  value: new TextEncoder().encode(value),
  flags,
  lockIndex: 0,
  session: '',
  ...indexed,
})
