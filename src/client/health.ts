/** Instances with their checks. */
import type { Answer } from './answer.ts'
import { type RankOptions, type ReadOptions, readJson, type SortOptions, segment } from './read.ts'
import type { Transport } from './transport.ts'
import type { CheckJson, HealthEntryJson, Status } from './types.ts'

export interface ServiceQuery extends ReadOptions, RankOptions, SortOptions {
  /** Only instances whose checks all pass. */
  readonly passing?: boolean
  /** All must match. */
  readonly tags?: readonly string[]
}

export interface HealthClient {
  service(service: string, options?: ServiceQuery): Promise<Answer<readonly HealthEntryJson[]>>
  /** Of one service. */
  checks(service: string, options?: ReadOptions & RankOptions): Promise<Answer<readonly CheckJson[]>>
  node(node: string, options?: ReadOptions): Promise<Answer<readonly CheckJson[]>>
  state(state: Status | 'any', options?: ReadOptions & RankOptions): Promise<Answer<readonly CheckJson[]>>
}

export function healthClient(transport: Transport): HealthClient {
  return {
    service: (service, options = {}) =>
      readJson(transport, `/v1/health/service/${segment(service)}`, options, {
        passing: options.passing,
        tag: options.tags,
        sort: options.sort,
      }),
    checks: (service, options = {}) => readJson(transport, `/v1/health/checks/${segment(service)}`, options),
    node: (node, options = {}) => readJson(transport, `/v1/health/node/${segment(node)}`, options),
    state: (state, options = {}) => readJson(transport, `/v1/health/state/${state}`, options),
  }
}
