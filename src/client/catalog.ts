/** What is registered in a datacenter, healthy or not. */
import type { Answer } from './answer.ts'
import { type RankOptions, type ReadOptions, readJson, type SortOptions, segment } from './read.ts'
import type { CallOptions, Transport } from './transport.ts'
import type { CatalogNodeJson, CatalogServiceJson, NodeJson } from './types.ts'

export interface CatalogClient {
  /** Nearest first. */
  datacenters(options?: CallOptions): Promise<Answer<readonly string[]>>
  nodes(options?: ReadOptions & RankOptions): Promise<Answer<readonly NodeJson[]>>
  /** Tags by service. */
  services(options?: ReadOptions & RankOptions): Promise<Answer<Readonly<Record<string, readonly string[]>>>>
  /** All `tags` must match. */
  service(
    service: string,
    options?: ReadOptions & RankOptions & SortOptions & { tags?: readonly string[] },
  ): Promise<Answer<readonly CatalogServiceJson[]>>
  /** Null when there is no such node. */
  node(node: string, options?: ReadOptions): Promise<Answer<CatalogNodeJson | null>>
}

export function catalogClient(transport: Transport): CatalogClient {
  return {
    datacenters: (options = {}) => readJson(transport, '/v1/catalog/datacenters', options),
    nodes: (options = {}) => readJson(transport, '/v1/catalog/nodes', options),
    services: (options = {}) => readJson(transport, '/v1/catalog/services', options),
    service: (service, options = {}) =>
      readJson(transport, `/v1/catalog/service/${segment(service)}`, options, {
        tag: options.tags,
        sort: options.sort,
      }),
    node: (node, options = {}) => readJson(transport, `/v1/catalog/node/${segment(node)}`, options),
  }
}
