/** All datacenters as the asked node sees them, and why lookups go where they go. */
import type { Answer } from './answer.ts'
import { readJson, segment } from './read.ts'
import type { CallOptions, Transport } from './transport.ts'
import type { ExplanationJson, MeshStatusJson } from './types.ts'

export interface MeshClient {
  status(options?: CallOptions): Promise<Answer<MeshStatusJson>>
  /** Every datacenter considered for a `?passing` lookup of the service, in order, and why it was or was not chosen. */
  explain(service: string, options?: CallOptions): Promise<Answer<ExplanationJson>>
}

export function meshClient(transport: Transport): MeshClient {
  return {
    status: (options = {}) => readJson(transport, '/v1/mesh', options),
    explain: (service, options = {}) => readJson(transport, `/v1/explain/${segment(service)}`, options),
  }
}
