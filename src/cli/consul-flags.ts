/**
 * The flags of Consul's agent that Atoll has no other name for, and the field of its configuration that each one sets.
 * Those that mean the same as one of Atoll's are aliases, in `agent.ts`.
 */
import type { Flag, Flags } from './command.ts'

interface ConsulFlag {
  readonly type: 'boolean' | 'string' | 'number' | 'list'
  /** Of Consul's configuration, with dots. */
  readonly field: string
}

const text = (field: string): ConsulFlag => ({ type: 'string', field })
const truth = (field: string): ConsulFlag => ({ type: 'boolean', field })
const number = (field: string): ConsulFlag => ({ type: 'number', field })
const list = (field: string): ConsulFlag => ({ type: 'list', field })

const CONSUL_FLAGS: Readonly<Record<string, ConsulFlag>> = {
  client: text('client_addr'),
  'node-id': text('node_id'),
  bootstrap: truth('bootstrap'),
  'bootstrap-expect': number('bootstrap_expect'),
  'https-port': number('ports.https'),
  'grpc-port': number('ports.grpc'),
  'grpc-tls-port': number('ports.grpc_tls'),
  'server-port': number('ports.server'),
  'serf-lan-port': number('ports.serf_lan'),
  'serf-wan-port': number('ports.serf_wan'),
  'serf-lan-bind': text('serf_lan'),
  'serf-wan-bind': text('serf_wan'),
  'serf-lan-allowed-cidrs': list('serf_lan_allowed_cidrs'),
  'serf-wan-allowed-cidrs': list('serf_wan_allowed_cidrs'),
  'retry-join': list('retry_join'),
  'retry-join-wan': list('retry_join_wan'),
  'join-wan': list('start_join_wan'),
  'retry-interval': text('retry_interval'),
  'retry-interval-wan': text('retry_interval_wan'),
  'retry-max': number('retry_max'),
  'retry-max-wan': number('retry_max_wan'),
  rejoin: truth('rejoin_after_leave'),
  'advertise-wan': text('advertise_addr_wan'),
  'alt-domain': text('alt_domain'),
  'pid-file': text('pid_file'),
  'enable-script-checks': truth('enable_script_checks'),
  'enable-local-script-checks': truth('enable_local_script_checks'),
  check_output_max_size: number('check_output_max_size'),
  'check-output-max-size': number('check_output_max_size'),
  'log-json': truth('log_json'),
  'log-file': text('log_file'),
  'log-rotate-bytes': number('log_rotate_bytes'),
  'log-rotate-duration': text('log_rotate_duration'),
  'log-rotate-max-files': number('log_rotate_max_files'),
  syslog: truth('enable_syslog'),
  ui: truth('ui'),
  'ui-dir': text('ui_dir'),
  'ui-content-path': text('ui_content_path'),
  encrypt: text('encrypt'),
  'raft-protocol': number('raft_protocol'),
  protocol: number('protocol'),
  'non-voting-server': truth('non_voting_server'),
  'read-replica': truth('read_replica'),
  'primary-gateway': list('primary_gateways'),
  segment: text('segment'),
  partition: text('partition'),
  'allow-write-http-from': list('allow_write_http_from'),
  'auto-reload-config': truth('auto_reload_config'),
  'default-query-time': text('default_query_time'),
  'max-query-time': text('max_query_time'),
  'disable-host-node-id': truth('disable_host_node_id'),
  'disable-keyring-file': truth('disable_keyring_file'),
}

/** For the parser; help names them in a note. */
export const consulFlags: Flags = Object.fromEntries(
  Object.entries(CONSUL_FLAGS).map(([name, { type, field }]): [string, Flag] => [
    name,
    { type, commas: type === 'list', hidden: true, purpose: `as ${field} in Consul's configuration` },
  ]),
)

/** Those that were given, as one piece of Consul's configuration. */
export function fromConsulFlags(
  values: Readonly<Record<string, unknown>>,
  given: ReadonlySet<string>,
): Readonly<Record<string, unknown>> {
  const tree: Record<string, unknown> = {}
  for (const [name, { field }] of Object.entries(CONSUL_FLAGS)) {
    if (!given.has(name)) continue
    const [first, second] = field.split('.') as [string, string | undefined]
    if (second === undefined) tree[first] = values[name]
    else tree[first] = { ...(tree[first] as object | undefined), [second]: values[name] }
  }
  return tree
}
