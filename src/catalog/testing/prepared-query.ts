import type { PreparedQueryEntry, QueryService } from '../../model/prepared-query.ts'

/** A query for `web` without conditions. */
export const queryEntry = (
  id: string,
  { service, ...more }: Partial<Omit<PreparedQueryEntry, 'service'>> & { service?: Partial<QueryService> } = {},
): PreparedQueryEntry => ({
  id,
  name: '',
  session: '',
  token: '',
  template: { type: '', regexp: '', removeEmptyTags: false },
  service: {
    service: 'web',
    failover: { nearestN: 0, datacenters: null, targets: null },
    onlyPassing: false,
    ignoreCheckIds: null,
    near: '',
    tags: null,
    nodeMeta: null,
    serviceMeta: null,
    connect: false,
    ...service,
  },
  dnsTtl: '',
  ...more,
})
