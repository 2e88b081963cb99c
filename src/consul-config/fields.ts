/**
 * Every field of Consul's agent configuration (up to 1.21), and what becomes of it: it is taken, it is as Atoll does
 * anyway, or it is left out with a warning. What is not here is a mistake, as in Consul.
 */
import {
  durationMs,
  integer,
  isOff,
  type Place,
  seconds,
  type Tree,
  text,
  textMap,
  texts,
  tree,
  truth,
  withoutSingleBlocks,
  wrong,
} from './document.ts'
import type { Draft } from './draft.ts'

/** Puts a value into the draft. Throws AtollError 'invalid' for one of the wrong kind. */
export type Take = (value: unknown, draft: Draft, place: Place) => void

type Read<T> = (value: unknown, place: Place) => T

const put =
  <T>(path: string, read: Read<T>): Take =>
  (value, draft, place) =>
    draft.put(path, read(value, place))

const append =
  (path: string): Take =>
  (value, draft, place) =>
    draft.append(path, texts(value, place))

const join: Take = (value, draft, place) => {
  for (const one of texts(value, place)) draft.join.push({ text: one, source: place.source, field: place.field })
}

const assign =
  <T>(keep: (draft: Draft, one: T) => void, read: Read<T>): Take =>
  (value, draft, place) =>
    keep(draft, read(value, place))

/** A node has no such thing, so it is as if it were off, or as Atoll is anyway. */
const moot: Take = () => {}

const without =
  (why: string): Take =>
  (value, draft, { source, field }) => {
    if (!isOff(value)) draft.warn(source, field, `has no effect: ${why}`)
  }

const fieldsOf =
  (fields: Readonly<Record<string, Take>>): Take =>
  (value, draft, place) =>
    takeFields(fields, tree(value, place), draft, place.source, `${place.field}.`)

/** Each field of a map by its rule. Throws AtollError 'invalid' for one that Consul does not have. */
export function takeFields(
  fields: Readonly<Record<string, Take>>,
  values: Tree,
  draft: Draft,
  source: string,
  prefix = '',
): void {
  for (const [key, value] of Object.entries(values)) {
    const name = key.toLowerCase()
    // For comments: JSON has none.
    if (name.startsWith('_') || name === '//') continue
    const place = { source, field: prefix + key }
    if (!Object.hasOwn(fields, name))
      throw wrong(place, "Consul's configuration has no such field; correct or remove it")
    if (value !== null && value !== undefined) fields[name]!(value, draft, place)
  }
}

const NO_TLS = 'TLS of the API is not part of this version, and nodes encrypt what they say to each other anyway'
const NO_ACL = 'there is no access control in this version: who reaches the API may read and change everything'
const NO_MESH = 'Atoll has no service mesh'
const NO_RAFT = 'there is no Raft in Atoll'
const OWN_LOG = 'Atoll logs to standard error; the system keeps and rotates that'
const ONE_PORT = 'nodes speak to each other on one port'
const ANY_WRITER = 'whoever reaches the API may write; let it listen where only those do'
const ANY_JOINER = 'nodes may join from any address; keep their port on networks that you trust'
const FIXED_LIMITS = "Atoll's own limits hold"

const port =
  (path: string): Take =>
  (value, draft, place) => {
    const number = integer(value, place)
    if (number < 0) throw wrong(place, 'the HTTP API cannot be switched off; give a port')
    draft.put(path, number)
  }

const address =
  (kind: 'all' | 'http' | 'dns'): Take =>
  (value, draft, place) => {
    const [first, ...more] = text(value, place)
      .split(/\s+(?![^{]*\}\})/)
      .filter((one) => one !== '')
    if (first === undefined) return
    if (first.startsWith('unix:')) {
      draft.warn(place.source, place.field, 'has no effect: Unix sockets are not supported')
      return
    }
    if (more.length > 0) draft.warn(place.source, place.field, `one address is listened on, ${first}`)
    draft.clientAddresses[kind] = first
  }

const LEVELS: Readonly<Record<string, string>> = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  err: 'error',
  error: 'error',
  silent: 'silent',
}

const logLevel: Take = (value, draft, place) => {
  const level = LEVELS[text(value, place).toLowerCase()]
  if (level === undefined) throw wrong(place, 'use one of trace, debug, info, warn and err')
  draft.put('log.level', level)
}

const bootstrapExpect: Take = (value, draft, place) => {
  if (integer(value, place) < 2) return
  draft.warn(
    place.source,
    place.field,
    'has no effect: a datacenter has one server, unless --store says otherwise; etcd:managed has three',
  )
}

const definition =
  (kind: 'service' | 'check'): Take =>
  (value, draft, place) => {
    for (const one of Array.isArray(value) ? value : [value]) {
      draft.definitions.push({ kind, source: place.source, fields: withoutSingleBlocks(tree(one, place)) })
    }
  }

const ttls: Take = (value, draft, place) => {
  const values = Object.entries(tree(value, place))
  draft.merge(
    'dns.ttlSeconds.service',
    Object.fromEntries(
      values.map(([name, ttl]) => [name, seconds(ttl, { ...place, field: `${place.field}.${name}` })]),
    ),
  )
}

const milliseconds: Read<number> = (value, place) => Math.round(durationMs(value, place))
const byteCount: Read<number> = (value, place) => {
  const bytes = integer(value, place)
  if (bytes < 1) throw wrong(place, 'must be greater than 0')
  return bytes
}
const single: Read<string[]> = (value, place) => [text(value, place)]
const lower: Read<string> = (value, place) => text(value, place).toLowerCase()

const portFields: Readonly<Record<string, Take>> = {
  http: port('http.port'),
  dns: (value, draft, place) => {
    const number = integer(value, place)
    draft.put('dns.enabled', number >= 0)
    if (number >= 0) draft.put('dns.port', number)
  },
  server: assign((draft, one) => {
    draft.ports.server = one
  }, integer),
  serf_lan: assign((draft, one) => {
    draft.ports.serfLan = one
  }, integer),
  serf_wan: moot,
  https: (value, draft, place) => {
    if (integer(value, place) > 0) draft.warn(place.source, place.field, `has no effect: ${NO_TLS}`)
  },
  grpc: unlessNegative(NO_MESH),
  grpc_tls: unlessNegative(NO_MESH),
  proxy_min_port: moot,
  proxy_max_port: moot,
  sidecar_min_port: moot,
  sidecar_max_port: moot,
  expose_min_port: moot,
  expose_max_port: moot,
}

/** As `without`, where a negative number switches it off too. */
function unlessNegative(why: string): Take {
  return (value, draft, place) => {
    if (integer(value, place) > 0) draft.warn(place.source, place.field, `has no effect: ${why}`)
  }
}

const dnsFields: Readonly<Record<string, Take>> = {
  node_ttl: put('dns.ttlSeconds.node', seconds),
  service_ttl: ttls,
  only_passing: put('dns.onlyPassing', truth),
  enable_truncate: put('dns.truncate', truth),
  a_record_limit: put('dns.addressLimit', integer),
  recursor_timeout: put('dns.recursorTimeoutMs', milliseconds),
  enable_additional_node_meta_txt: put('dns.nodeMetaTxt', truth),
  soa: fieldsOf({
    refresh: put('dns.soa.refreshSeconds', integer),
    retry: put('dns.soa.retrySeconds', integer),
    expire: put('dns.soa.expireSeconds', integer),
    min_ttl: put('dns.soa.minimumSeconds', integer),
  }),
  allow_stale: moot,
  max_stale: moot,
  use_cache: moot,
  cache_max_age: moot,
  udp_answer_limit: without('an answer by UDP holds what fits'),
  disable_compression: without('names in answers are always compressed'),
  recursor_strategy: without('recursors are asked in order'),
  prefer_namespace: without('there are no namespaces'),
}

/** By name at the top of a file. */
export const FIELDS: Readonly<Record<string, Take>> = {
  // The node.
  datacenter: put('datacenter', lower),
  node_name: put('node', text),
  node_id: put('nodeId', lower),
  node_meta: (value, draft, place) => draft.merge('nodeMeta', textMap(value, place)),
  server: put('server', truth),
  data_dir: put('dataDirectory', text),
  pid_file: put('pidFile', text),
  leave_on_terminate: put('leave.onTerminate', truth),
  skip_leave_on_interrupt: (value, draft, place) => draft.put('leave.onInterrupt', !truth(value, place)),
  bootstrap: moot,
  bootstrap_expect: bootstrapExpect,
  // Where it listens, and how others find it.
  bind_addr: put('federation.host', text),
  advertise_addr: (value, draft, place) => draft.put('federation.advertise', single(value, place)),
  advertise_addr_ipv4: put('taggedAddresses.lan_ipv4', text),
  advertise_addr_ipv6: put('taggedAddresses.lan_ipv6', text),
  advertise_addr_wan: put('taggedAddresses.wan', text),
  advertise_addr_wan_ipv4: put('taggedAddresses.wan_ipv4', text),
  advertise_addr_wan_ipv6: put('taggedAddresses.wan_ipv6', text),
  tagged_addresses: (value, draft, place) => draft.merge('taggedAddresses', textMap(value, place)),
  client_addr: address('all'),
  addresses: fieldsOf({
    http: address('http'),
    dns: address('dns'),
    https: without(NO_TLS),
    grpc: without(NO_MESH),
    grpc_tls: without(NO_MESH),
  }),
  ports: fieldsOf(portFields),
  serf_lan: without(ONE_PORT),
  serf_wan: without(ONE_PORT),
  serf_lan_allowed_cidrs: without(ANY_JOINER),
  serf_wan_allowed_cidrs: without(ANY_JOINER),
  start_join: join,
  start_join_wan: join,
  retry_join: join,
  retry_join_wan: join,
  retry_interval: moot,
  retry_interval_wan: moot,
  retry_max: without('a node tries to join for as long as it runs'),
  retry_max_wan: without('a node tries to join for as long as it runs'),
  rejoin_after_leave: moot,
  // Names.
  domain: assign((draft, one) => {
    draft.domains.main = one
  }, text),
  alt_domain: assign((draft, one) => {
    draft.domains.alternative = one
  }, text),
  recursors: append('dns.recursors'),
  recursor: append('dns.recursors'),
  dns_config: fieldsOf(dnsFields),
  // Workloads.
  service: definition('service'),
  services: definition('service'),
  check: definition('check'),
  checks: definition('check'),
  enable_script_checks: assign((draft, one) => {
    draft.scripts.all = one
  }, truth),
  enable_local_script_checks: assign((draft, one) => {
    draft.scripts.local = one
  }, truth),
  check_update_interval: put('checks.updateIntervalMs', milliseconds),
  check_output_max_size: put('checks.outputMaxBytes', byteCount),
  enable_agent_tls_for_checks: assign((draft, one) => {
    draft.checkTls.use = one
  }, truth),
  discard_check_output: without('outputs are kept, within checks.outputMaxBytes'),
  watches: without('run "atoll watch" instead'),
  // The log.
  log_level: logLevel,
  log_json: (value, draft, place) => draft.put('log.format', truth(value, place) ? 'json' : 'text'),
  log_sublevels: without('the log has one level for all'),
  log_file: without(OWN_LOG),
  log_rotate_bytes: without(OWN_LOG),
  log_rotate_duration: without(OWN_LOG),
  log_rotate_max_files: without(OWN_LOG),
  enable_syslog: without(OWN_LOG),
  syslog_facility: moot,
  // Safety.
  acl: without(NO_ACL),
  acl_datacenter: without(NO_ACL),
  acl_default_policy: without(NO_ACL),
  acl_down_policy: without(NO_ACL),
  acl_token: without(NO_ACL),
  acl_agent_token: without(NO_ACL),
  acl_agent_master_token: without(NO_ACL),
  acl_master_token: without(NO_ACL),
  acl_replication_token: without(NO_ACL),
  acl_ttl: without(NO_ACL),
  acl_enable_key_list_policy: without(NO_ACL),
  enable_acl_replication: without(NO_ACL),
  primary_datacenter: without('no datacenter is above the others'),
  primary_gateways: without(NO_MESH),
  primary_gateways_interval: moot,
  encrypt: without('nodes encrypt what they say to each other with keys of their own'),
  encrypt_verify_incoming: moot,
  encrypt_verify_outgoing: moot,
  tls: without(NO_TLS),
  ca_file: (value, draft, place) => {
    draft.checkTls.caFile = text(value, place)
    without(NO_TLS)(value, draft, place)
  },
  ca_path: without(NO_TLS),
  cert_file: without(NO_TLS),
  key_file: without(NO_TLS),
  server_name: without(NO_TLS),
  verify_incoming: without(NO_TLS),
  verify_incoming_rpc: without(NO_TLS),
  verify_incoming_https: without(NO_TLS),
  verify_outgoing: without(NO_TLS),
  verify_server_hostname: without(NO_TLS),
  tls_cipher_suites: without(NO_TLS),
  tls_min_version: without(NO_TLS),
  tls_prefer_server_cipher_suites: without(NO_TLS),
  auto_encrypt: without(NO_TLS),
  auto_config: without(NO_TLS),
  auto_reload_config: without('reload with SIGHUP or /v1/agent/reload'),
  // What Atoll does otherwise or not at all.
  performance: without(NO_RAFT),
  autopilot: without(NO_RAFT),
  raft_protocol: without(NO_RAFT),
  raft_snapshot_interval: without(NO_RAFT),
  raft_snapshot_threshold: without(NO_RAFT),
  raft_trailing_logs: without(NO_RAFT),
  raft_logstore: without(NO_RAFT),
  raft_prevote_disabled: moot,
  non_voting_server: without(NO_RAFT),
  read_replica: without(NO_RAFT),
  reporting: without('nothing is reported to anyone'),
  protocol: moot,
  gossip_lan: without('set "preset" for networks that are far apart'),
  gossip_wan: without('set "preset" for networks that are far apart'),
  reconnect_timeout: without('a node that is gone is reaped after 72 hours'),
  reconnect_timeout_wan: without('a datacenter that is gone is forgotten after 72 hours'),
  advertise_reconnect_timeout: without('a node that is gone is reaped after 72 hours'),
  server_rejoin_age_max: without('a server may come back however long it was away'),
  snapshot_agent: without('take snapshots with "atoll snapshot save"'),
  discovery_max_stale: without('DNS and look-ups say how old they are; "max_stale" bounds an answer'),
  session_ttl_min: without('a session lives at least 10 seconds'),
  translate_wan_addrs: without(
    'DNS, failover, "nearest" and "*" give addresses to use from here anyway; ?dc= of one datacenter gives its own',
  ),
  connect: without(NO_MESH),
  config_entries: without(NO_MESH),
  enable_central_service_config: moot,
  default_intention_policy: without(NO_MESH),
  xds: without(NO_MESH),
  peering: without('datacenters of one mesh know each other without it'),
  telemetry: without('metrics are at /v1/agent/metrics'),
  limits: without(FIXED_LIMITS),
  rpc: without(FIXED_LIMITS),
  http_config: fieldsOf({
    block_endpoints: without('no path of the API can be blocked'),
    allow_write_http_from: without(ANY_WRITER),
    response_headers: without('answers have no headers but their own'),
    max_header_bytes: without(FIXED_LIMITS),
    use_cache: moot,
  }),
  cache: without('answers come out of memory'),
  use_streaming_backend: moot,
  default_query_time: without('a blocking query waits for 5 minutes unless it says how long'),
  max_query_time: without('a blocking query waits for 10 minutes at most'),
  unix_sockets: without('Unix sockets are not supported'),
  ui: without('there is no UI in this version'),
  ui_config: without('there is no UI in this version'),
  ui_content_path: without('there is no UI in this version'),
  ui_dir: without('there is no UI in this version'),
  enable_debug: without('there is no /debug/pprof'),
  allow_write_http_from: without(ANY_WRITER),
  cloud: without('there is no such service'),
  audit: without('this belongs to Consul Enterprise'),
  license_path: without('Atoll needs no licence'),
  partition: without('there are no partitions'),
  segment: without('there are no network segments'),
  segments: without('there are no network segments'),
  locality: without('distance is measured between nodes'),
  experiments: without('Atoll has none of them'),
  version: moot,
  version_prerelease: moot,
  revision: moot,
  disable_anonymous_signature: moot,
  disable_update_check: moot,
  disable_remote_exec: moot,
  disable_host_node_id: moot,
  disable_keyring_file: moot,
  disable_coordinates: without('distances are always measured'),
  disable_http_unprintable_char_filter: moot,
}
