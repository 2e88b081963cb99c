/** What filters may select, list by list. */
import { UNKNOWN_LOAD } from '../../resolver/rank.ts'
import type { Fields } from './filter.ts'

const taggedAddresses = { map: { struct: { Address: 'string', Port: 'int' } } } as const
const weights = { struct: { Passing: 'int', Warning: 'int' } } as const
const strings = { map: 'string' } as const
const load = { number: UNKNOWN_LOAD } as const

export const nodeFields: Fields = {
  ID: 'string',
  Node: 'string',
  Address: 'string',
  Datacenter: 'string',
  TaggedAddresses: strings,
  Meta: strings,
}

const connect = { struct: { Native: 'bool' } } as const
const proxy = {
  struct: {
    DestinationServiceName: 'string',
    DestinationServiceID: 'string',
    LocalServiceAddress: 'string',
    LocalServicePort: 'int',
    LocalServiceSocketPath: 'string',
    Mode: 'string',
  },
} as const

export const serviceFields: Fields = {
  Kind: 'string',
  ID: 'string',
  Service: 'string',
  Tags: 'strings',
  Address: 'string',
  TaggedAddresses: taggedAddresses,
  Meta: strings,
  Port: 'int',
  SocketPath: 'string',
  Weights: weights,
  EnableTagOverride: 'bool',
  Proxy: proxy,
  Connect: connect,
  Load: load,
}

export const checkFields: Fields = {
  Node: 'string',
  CheckID: 'string',
  Name: 'string',
  Status: 'string',
  Notes: 'string',
  Output: 'string',
  ServiceID: 'string',
  ServiceName: 'string',
  ServiceTags: 'strings',
  Type: 'string',
  Interval: 'string',
  Timeout: 'string',
  ExposedPort: 'int',
}

export const healthFields: Fields = {
  Node: { struct: nodeFields },
  Service: { struct: serviceFields },
  Checks: { list: checkFields },
}

export const catalogServiceFields: Fields = {
  ID: 'string',
  Node: 'string',
  Address: 'string',
  Datacenter: 'string',
  TaggedAddresses: strings,
  NodeMeta: strings,
  ServiceKind: 'string',
  ServiceID: 'string',
  ServiceName: 'string',
  ServiceTags: 'strings',
  ServiceAddress: 'string',
  ServiceTaggedAddresses: taggedAddresses,
  ServiceWeights: weights,
  ServiceMeta: strings,
  ServicePort: 'int',
  ServiceSocketPath: 'string',
  ServiceEnableTagOverride: 'bool',
  ServiceProxy: proxy,
  ServiceConnect: connect,
  ServiceLoad: load,
}
