// biome-ignore-all lint/suspicious/noTemplateCurlyInString: templates of queries are written so
/** The body of a prepared query, as it may be sent, and as an entry of the catalog, with Consul's checks of it in its order. */
import * as z from 'zod'
import { parseDuration } from '../../model/duration.ts'
import { AtollError } from '../../model/errors.ts'
import type { PreparedQueryEntry } from '../../model/prepared-query.ts'
import { HttpError } from '../errors.ts'
import { metadataFault } from '../metadata.ts'

const text = z.string().optional()
const flag = z.boolean().optional()
const texts = z.array(z.string()).optional()
const textMap = z.record(z.string(), z.string()).optional()
const index = { CreateIndex: z.number().optional(), ModifyIndex: z.number().optional() }

export const preparedQuerySchema = z
  .object({
    ID: text,
    Name: text.describe('The name that it is asked for by; for a template, what such names begin with'),
    Session: text.describe('The session that it goes with'),
    Token: text,
    Template: z
      .object({
        Type: text.describe('name_prefix_match, or none'),
        Regexp: text.describe('What `${match(n)}` takes its parts from'),
        RemoveEmptyTags: flag,
      })
      .optional(),
    Service: z
      .object({
        Service: text,
        Failover: z
          .object({
            NearestN: z.int().optional().describe('So many other datacenters, nearest first'),
            Datacenters: texts.describe('Those after them, in this order'),
            Targets: z
              .array(z.object({ Datacenter: text, Peer: text, Partition: text, Namespace: text }))
              .optional()
              .describe('Datacenters again, instead of the two others'),
          })
          .optional(),
        OnlyPassing: flag.describe('Leave out instances in the state warning too'),
        IgnoreCheckIDs: texts.describe('Checks that do not count'),
        Sort: z.enum(['', 'load']).optional().describe('load: the least busy first, those near among equals'),
        Near: text.describe('Order by nearness to this node, or to the asked one (`_agent`)'),
        Tags: texts.describe('All must be there; those after a `!` must not'),
        NodeMeta: textMap,
        ServiceMeta: textMap,
        Connect: flag,
        Peer: text,
        SamenessGroup: text,
      })
      .optional(),
    DNS: z.object({ TTL: text.describe('How long DNS answers may be kept') }).optional(),
    ...index,
  })
  .meta({ goType: 'structs.PreparedQuery' })

type Body = z.output<typeof preparedQuerySchema>

/** Consul answers these with a 500; its clients know the texts. */
const refused = (text: string): HttpError => new HttpError(500, `Invalid prepared query: ${text}`)

/** Throws HttpError for what no catalog would take; templates are still to be tried. */
export function preparedQueryOf(id: string, body: Body): PreparedQueryEntry {
  const { Name: name = '', Session: session = '', Template: template = {}, Service: service = {} } = body
  const type = template.Type ?? ''
  if (name === '' && type === '' && session === '') throw refused('Must be bound to a session')
  requireGood(service)
  return {
    id,
    name,
    session,
    token: body.Token ?? '',
    template: {
      type: templateType(type),
      regexp: template.Regexp ?? '',
      removeEmptyTags: template.RemoveEmptyTags ?? false,
    },
    service: {
      service: service.Service!,
      failover: {
        nearestN: service.Failover?.NearestN ?? 0,
        datacenters: service.Failover?.Datacenters ?? null,
        targets: service.Failover?.Targets?.map(({ Datacenter }) => Datacenter ?? '') ?? null,
      },
      onlyPassing: service.OnlyPassing ?? false,
      ignoreCheckIds: service.IgnoreCheckIDs ?? null,
      near: service.Near ?? '',
      tags: service.Tags ?? null,
      nodeMeta: service.NodeMeta ?? null,
      serviceMeta: service.ServiceMeta ?? null,
      connect: service.Connect ?? false,
      ...(service.Sort === 'load' && { sort: 'load' as const }),
    },
    dnsTtl: ttlOf(body.DNS?.TTL ?? ''),
  }
}

function requireGood({
  Service,
  Failover,
  NodeMeta,
  ServiceMeta,
  Peer,
  SamenessGroup,
  Sort,
}: NonNullable<Body['Service']>) {
  if (!Service) throw refused('Must provide a Service name to query')
  const nearestN = Failover?.NearestN ?? 0
  if (nearestN < 0) throw refused(`Bad NearestN '${nearestN}', must be >= 0`)
  if (Sort !== undefined && Sort !== '' && Sort !== 'load') {
    throw new AtollError('invalid', 'Service.Sort: there is one order, load; give that or leave it out', {
      field: 'Service.Sort',
    })
  }
  if (Peer) throw refused(`Peer '${Peer}': peering is not there; name datacenters in Failover`)
  if (SamenessGroup) throw refused(`SamenessGroup '${SamenessGroup}': there are none; name datacenters in Failover`)
  const targets = Failover?.Targets ?? []
  if (targets.length > 0 && (nearestN > 0 || (Failover?.Datacenters?.length ?? 0) > 0)) {
    throw refused('Targets cannot be populated with NearestN or Datacenters')
  }
  for (const { Datacenter, Peer: peer } of targets) {
    if (peer) throw refused(`Failover.Targets: Peer '${peer}': peering is not there; give a Datacenter`)
    if (!Datacenter) throw refused('Failover.Targets: give a Datacenter')
  }
  const fault = metadataFault(NodeMeta, { anyKey: true }) ?? metadataFault(ServiceMeta)
  if (fault) throw refused(fault)
}

function templateType(type: string): PreparedQueryEntry['template']['type'] {
  if (type === '' || type === 'name_prefix_match') return type
  throw new HttpError(500, `raft apply failed: failed compiling template: Bad Template.Type '${type}'`)
}

function ttlOf(text: string): string {
  if (text === '') return ''
  const ms = parseDuration(text)
  if (ms === undefined) throw refused(`Bad DNS TTL '${text}': time: invalid duration ${JSON.stringify(text)}`)
  if (ms < 0) throw refused(`DNS TTL '${Math.round(ms * 1e6)}', must be >=0`)
  return text
}
