/** The HTTP face over a mesh that is only a map: what the face itself costs. Changes elsewhere are not its business. */
import { createApp } from '../../../src/http/app.ts'
import { fakeMesh, instance } from '../../../src/http/testing/fake-mesh.ts'
import type { AnswerValue, Question, QuestionKind } from '../../../src/resolver/mesh.ts'
import type { Logger } from '../../../src/runtime/ports.ts'
import { currentRuntime } from '../../../src/runtime/runtime.ts'
import { metaOfBench } from './services.ts'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
const values = new Map<string, AnswerValue<'service'>>()
const mesh = fakeMesh()
const plain = mesh.prepare.bind(mesh)
mesh.prepare = <K extends QuestionKind>(question: Question<K>, options: Parameters<typeof plain>[1]) => {
  const { service } = question as unknown as Question<'service'>
  const entries = Array.from({ length: 10 }, (_, i) => instance(`node-${i}`, service, { meta: metaOfBench(i) }))
  const value = values.get(service) ?? values.set(service, entries).get(service)!
  mesh.answers.service = value
  const { answer } = plain(question, options)
  const found = {
    index: 7,
    datacenter: 'dc1',
    source: 'catalog',
    ageMs: 0,
    knownLeader: true,
    consistency: 'leader',
  } as const
  const now = () => ({ ...found, value: value as AnswerValue<K> })
  return { now, soon: now, answer }
}
const runtime = await currentRuntime()
const app = createApp({ mesh, clock: runtime.clock, random: runtime.random, logger: silent, version: '0' })
const server = await runtime.serveHttp({
  hostname: '127.0.0.1',
  port: 0,
  fetch: (request, info) => app.fetch(request, info),
  ready: (target, acceptEncoding) => app.ready(target, acceptEncoding),
  maxBodyBytes: 1e6,
  headersTimeoutMs: 10_000,
})
console.log(JSON.stringify({ port: server.port }))
process.stdin.on('end', () => process.exit(0)).resume()
