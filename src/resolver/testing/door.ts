/** A door over a fake catalog and a fake federation, as tests ask it. */
import { SeededRandom, VirtualClock } from '../../runtime/virtual.ts'
import type { AgentDoor } from '../agent-door.ts'
import { createMesh } from '../door.ts'
import { type Answer, type AskOptions, anonymous, type Question, type RoutedInstance } from '../mesh.ts'
import { FakeCatalog, FakeFederation, FakeRemote, FakeView } from './fakes.ts'

/** The door of eu-1, which knows of us-1, 80 ms away. */
export function setUp(role: 'server' | 'client' = 'server') {
  const clock = new VirtualClock()
  const own = new FakeView('eu-1')
  const usView = new FakeView('us-1')
  const us = new FakeRemote('us-1', 80)
  const federation = new FakeFederation()
  federation.list.push(us)
  const catalog = new FakeCatalog(own)
  const mesh = createMesh({
    datacenter: 'eu-1',
    nodeName: 'n1',
    runtime: 'node',
    agent: {} as AgentDoor,
    catalog: role === 'server' ? catalog : undefined,
    federation,
    replica: (name) => (name === 'us-1' ? usView : undefined),
    clock,
    random: new SeededRandom(1),
    failover: true,
    flatNetwork: true,
    serverAddress: '127.0.0.1:8300',
  })
  return { clock, own, usView, us, federation, catalog, mesh }
}
/** A look-up of those that pass. */
export const web: Question<'service'> = { kind: 'service', service: 'web', passing: true, tags: [] }
export const everything: Question<'service'> = { ...web, passing: false }
export const plain: AskOptions = { principal: anonymous, consistency: 'default' }
/** The services' ids of an answer, in its order. */
export const ids = (answer: Answer<readonly RoutedInstance[]> | undefined): string[] =>
  answer?.value.map((found) => found.service.id) ?? []
/** Whether a promise has settled, once everything that is ready has run. */
export async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  promise.then(
    () => (done = true),
    () => (done = true),
  )
  for (let i = 0; i < 20; i++) await Promise.resolve()
  return done
}
