/** The asked node itself, and the workloads registered with it. */
import type { Answer } from './answer.ts'
import { callOptions, readJson, segment } from './read.ts'
import type { CallOptions, Query, Transport } from './transport.ts'
import type { AgentSelfJson, CheckJson, MemberJson, ServiceDefinitionJson, ServiceJson, Status } from './types.ts'

export interface AgentClient {
  self(options?: CallOptions): Promise<Answer<AgentSelfJson>>
  /** Nodes of this datacenter; with `wan`, the servers of all. */
  members(options?: CallOptions & { wan?: boolean }): Promise<Answer<readonly MemberJson[]>>
  /** By id. */
  services(options?: CallOptions): Promise<Answer<Readonly<Record<string, ServiceJson>>>>
  /** By id. */
  checks(options?: CallOptions): Promise<Answer<Readonly<Record<string, CheckJson>>>>
  /** Creates or replaces; checks that are not named again stay unless `replaceExistingChecks`. */
  register(
    definition: ServiceDefinitionJson,
    options?: CallOptions & { replaceExistingChecks?: boolean },
  ): Promise<void>
  deregister(serviceId: string, options?: CallOptions): Promise<void>
  /** Reports on a TTL check, and with `load` how busy its service is, from 0 (idle) to 1. */
  updateCheck(
    checkId: string,
    status: Status,
    output?: string,
    options?: CallOptions & { load?: number },
  ): Promise<void>
  /** How busy a service is, from 0 (idle) to 1; forgotten after five minutes without another report. */
  reportLoad(serviceId: string, load: number, options?: CallOptions): Promise<void>
  /** Of one service, or of the whole node without an id. */
  maintenance(change: { serviceId?: string; enable: boolean; reason?: string }, options?: CallOptions): Promise<void>
  /** A multiaddr or host:port of a node of any datacenter. */
  join(address: string, options?: CallOptions): Promise<void>
  /** Deregisters the node and ends its process. */
  leave(options?: CallOptions): Promise<void>
  /** Declares a failed node left. */
  forceLeave(node: string, options?: CallOptions): Promise<void>
}

export function agentClient(transport: Transport): AgentClient {
  const put = async (path: string, options: CallOptions, query: Query = {}, body?: string): Promise<void> => {
    await transport.call({
      method: 'PUT',
      path: `/v1/agent/${path}`,
      query,
      ...callOptions(options),
      ...(body === undefined ? {} : { body }),
    })
  }
  return {
    self: (options = {}) => readJson(transport, '/v1/agent/self', options),
    members: (options = {}) =>
      readJson(transport, '/v1/agent/members', options, { wan: options.wan ? '1' : undefined }),
    services: (options = {}) => readJson(transport, '/v1/agent/services', options),
    checks: (options = {}) => readJson(transport, '/v1/agent/checks', options),
    register: (definition, options = {}) =>
      put(
        'service/register',
        options,
        { 'replace-existing-checks': options.replaceExistingChecks },
        JSON.stringify(definition),
      ),
    deregister: (serviceId, options = {}) => put(`service/deregister/${segment(serviceId)}`, options),
    updateCheck: (checkId, status, output = '', options = {}) =>
      put(
        `check/update/${segment(checkId)}`,
        options,
        {},
        JSON.stringify({ Status: status, Output: output, Load: options.load }),
      ),
    reportLoad: (serviceId, load, options = {}) =>
      put(`service/load/${segment(serviceId)}`, options, { load: String(load) }),
    maintenance: ({ serviceId, enable, reason }, options = {}) =>
      put(serviceId === undefined ? 'maintenance' : `service/maintenance/${segment(serviceId)}`, options, {
        enable: String(enable),
        reason,
      }),
    join: (address, options = {}) => put(`join/${segment(address)}`, options),
    leave: (options = {}) => put('leave', options),
    forceLeave: (node, options = {}) => put(`force-leave/${segment(node)}`, options),
  }
}
