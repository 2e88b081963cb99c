/** Which questions of the mesh a name stands for, and how their answers become records. */
import { isAtollError } from '../model/errors.ts'
import {
  type Answer,
  type AskOptions,
  anonymous,
  type Mesh,
  type Prepared,
  type Question,
  type QuestionKind,
  type RoutedInstance,
} from '../resolver/mesh.ts'
import {
  absent,
  literalAnswer,
  type NameContext,
  noData,
  nodeAnswer,
  queryAnswer,
  reverseAnswer,
  serviceAnswer,
  zoneAnswer,
} from './answers.ts'
import { labelsOf, type ParsedName, parseName } from './names.ts'
import { NAME_AT, type Query, TYPE } from './query.ts'
import { type RecordSet, recordSet } from './record-set.ts'
import type { DnsSettings } from './settings.ts'

/** Questions whose answers, in their order, make a record set. */
export interface Plan {
  readonly prepare: () => readonly Prepared<unknown>[]
  /** `answers` are in the order of what was prepared; `serial` is the zone's. */
  readonly compile: (answers: readonly Answer<unknown>[], serial: number) => RecordSet
}

export interface PlanOptions {
  readonly mesh: Pick<Mesh, 'datacenter' | 'prepare'>
  readonly settings: DnsSettings
}

const fixed = (compile: (serial: number) => RecordSet): Plan => ({
  prepare: () => [],
  compile: (_answers, serial) => compile(serial),
})

/** Servers register themselves under this name. */
const SERVERS = 'consul'

export function planOf(data: Uint8Array, query: Query, options: PlanOptions): Plan {
  return planFor(parseName(labelsOf(data, NAME_AT), options.settings.domains), query.type, options)
}

function planFor(name: ParsedName, type: number, { mesh, settings }: PlanOptions): Plan {
  if (name.kind === 'foreign') return fixed(() => recordSet({ foreign: true }))
  const own = mesh.datacenter
  const base: Omit<NameContext, 'serial'> = {
    type,
    settings,
    datacenter: own,
    isRemote: false,
    domain: name.kind === 'reverse' ? settings.domains[0]! : name.domain,
    domainOwner: name.kind === 'reverse' ? NAME_AT : NAME_AT + name.domainAt,
  }
  const ask = <K extends QuestionKind>(question: Question<K>, datacenter: string | undefined): Prepared<unknown> =>
    mesh.prepare(question, { ...ASK, datacenter })
  const at = (answer: Answer<unknown>, serial: number): NameContext => {
    return { ...base, serial, datacenter: answer.datacenter, isRemote: answer.datacenter !== own }
  }
  if (name.kind === 'reverse') {
    if (type !== TYPE.PTR && type !== TYPE.ANY) return fixed(() => recordSet({ foreign: true }))
    return {
      prepare: () => [ask({ kind: 'address', address: name.address }, own)],
      compile: ([found], serial) => reverseAnswer(found!.value as Found, at(found!, serial)),
    }
  }
  if (type === TYPE.SOA || type === TYPE.NS) {
    return {
      prepare: () => [ask({ kind: 'service', service: SERVERS, passing: false, tags: [] }, own)],
      compile: ([servers], serial) => zoneAnswer(usable(servers!), at(servers!, serial)),
    }
  }
  switch (name.kind) {
    case 'service':
      return servicePlan(name, settings.onlyPassing, own, ask, at)
    case 'node':
      return {
        prepare: () => [ask({ kind: 'node', node: name.node }, name.datacenter ?? own)],
        compile: ([found], serial) =>
          nodeAnswer((found!.value as Answered<'node'> | undefined)?.node, at(found!, serial)),
      }
    case 'addr':
      return fixed((serial) => literalAnswer(name.address, { ...base, serial }))
    case 'empty':
      return fixed((serial) => noData({ ...base, serial }))
    case 'query':
      return {
        prepare: () => [ask({ kind: 'query-execute', query: name.query }, name.datacenter ?? own)],
        compile: ([found], serial) => queryAnswer(found!.value as Answered<'query-execute'>, at(found!, serial)),
      }
    case 'absent':
      return fixed((serial) => absent({ ...base, serial }))
  }
}

type Answered<K extends QuestionKind> = import('../resolver/mesh.ts').AnswerValue<K>
type Found = Answered<'address'>

/** What this node has in memory will do: its own tables are those of the last write, replicas may be a moment old. */
const ASK: AskOptions = { principal: anonymous, consistency: 'stale' }

type Ask = <K extends QuestionKind>(question: Question<K>, datacenter: string | undefined) => Prepared<unknown>
type At = (answer: Answer<unknown>, serial: number) => NameContext

/**
 * The plain name follows the resolver: away from this datacenter while nothing passes here, and back when it says so.
 * As long as it stays, instances in the state warning are told too.
 */
function servicePlan(
  { service, tag, datacenter }: Extract<ParsedName, { kind: 'service' }>,
  onlyPassing: boolean,
  own: string,
  ask: Ask,
  at: At,
): Plan {
  const question = { kind: 'service', service, tags: tag === undefined ? [] : [tag] } as const
  const passing = (where: string | undefined) => ask({ ...question, passing: true }, where)
  const all = (where: string) => ask({ ...question, passing: false }, where)
  const tell = (answer: Answer<unknown>, instances: readonly RoutedInstance[], serial: number): RecordSet =>
    serviceAnswer(service, instances, at(answer, serial))
  if (datacenter !== undefined && datacenter !== 'nearest') {
    return {
      prepare: () => [onlyPassing ? passing(datacenter) : all(datacenter)],
      compile: ([answer], serial) => tell(answer!, usable(answer!), serial),
    }
  }
  if (datacenter === 'nearest' || onlyPassing) {
    return {
      prepare: () => [passing(datacenter)],
      compile: ([answer], serial) => tell(answer!, usable(answer!), serial),
    }
  }
  return {
    prepare: () => [passing(undefined), all(own)],
    compile: ([routed, home], serial) => {
      // A client node may hear of one before the other: what is still told in one of them is no missing name.
      const stays = routed!.failover === undefined && usable(home!).length > 0
      const answer = stays ? home! : routed!
      return tell(answer, usable(answer), serial)
    },
  }
}

/** All but what is critical. */
const usable = ({ value }: Answer<unknown>): readonly RoutedInstance[] =>
  (value as readonly RoutedInstance[]).filter((instance) => instance.status !== 'critical')

/** Errors that say that there is no such datacenter, and so no such name. */
export const isNoSuchName = (error: unknown): boolean =>
  isAtollError(error) && (error.code === 'no-path' || error.code === 'invalid' || error.code === 'not-found')

export const absentPlan = (
  data: Uint8Array,
  query: Query,
  { mesh, settings }: PlanOptions,
): ((serial: number) => RecordSet) => {
  const name = parseName(labelsOf(data, NAME_AT), settings.domains)
  if (name.kind === 'foreign' || name.kind === 'reverse') return () => recordSet({ foreign: true })
  const { domain, domainAt } = name
  return (serial) =>
    absent({
      type: query.type,
      settings,
      serial,
      domain,
      domainOwner: NAME_AT + domainAt,
      datacenter: mesh.datacenter,
      isRemote: false,
    })
}
