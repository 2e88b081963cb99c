/** `atoll agent`: flags, environment and files to one configuration, a node from that, and its end in good order. */
import type { RunningNode } from '../node.ts'
import { completed, differences, type Given, readGiven } from './agent-config.ts'
import { flags } from './agent-flags.ts'
import { type Context, defineCommand } from './command.ts'
import { consulFlags } from './consul-flags.ts'
import { removePidFile, writePidFile } from './pid-file.ts'

export const command = defineCommand({
  examples: [
    { line: 'atoll agent --dev', says: 'try it out: one server, HTTP on 8500, nothing kept' },
    { line: 'atoll agent --server --dc eu-1 --data-dir /var/lib/atoll', says: 'the first server of a datacenter' },
    {
      line: 'atoll agent --server --dc us-1 --data-dir /var/lib/atoll --bind 0.0.0.0 --advertise gw.us-1.example.com --join gw.eu-1.example.com:8300',
      says: 'another datacenter for the same mesh',
    },
    { line: 'atoll agent --dc eu-1 --data-dir /var/lib/atoll --join 10.0.0.7:8300', says: 'a client beside workloads' },
    {
      line: 'atoll agent --server --dc eu-1 --data-dir /var/lib/atoll --store etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 --join 10.0.0.8:8300',
      says: 'one of several servers on an etcd cluster',
    },
    {
      line: 'atoll agent --server --dc eu-1 --data-dir /var/lib/atoll --store etcd:managed --servers 3 --bind 0.0.0.0 --advertise 10.0.0.7 --join 10.0.0.8:8300',
      says: 'one of three servers that run an etcd cluster themselves',
    },
  ],
  flags: { ...flags, ...consulFlags },
  notes: [
    'Runs until SIGINT or SIGTERM, then ends in good order; a second signal ends it at once. "atoll leave" also deregisters it.',
    "Files in the format of Consul's agent define services and checks too; SIGHUP and PUT /v1/agent/reload read them again. The flags of Consul's agent are taken, with one dash or two; what has no effect is named when the node starts.",
    'Most flags have an environment variable; the configuration file has the same fields, nested as {"datacenter": "eu-1", "http": {"port": 8500}, "federation": {"join": []}}.',
  ],
  local: true,
  async run(context) {
    const given = await readGiven(context)
    for (const line of given.warnings) context.note(line)
    const input = await completed(given.input, context.note)
    // From here on, so that a signal while it starts ends it in good order too.
    const end = listenForEnd(context.io.signal)
    try {
      // Loaded only here: the other commands never pay for it.
      const { startNode } = await import('../node.ts')
      const files = definitionFiles(context, given)
      const starting = startNode(input, { readDefinitions: files.read, signal: end.signal })
      const node = await starting.catch((error: unknown) => {
        if (end.signal.aborted) return undefined
        throw error
      })
      if (!node) return
      const hangUp = reloadOnHangUp(node, context.note)
      const pidFile = typeof input.pidFile === 'string' ? input.pidFile : undefined
      try {
        if (pidFile !== undefined) await writePidFile(pidFile)
        announce(context, node)
        const signal = await Promise.race([end.told, node.ended.then(() => undefined)])
        if (leavesOn(input, signal)) await node.leave()
        else await node.stop()
      } finally {
        hangUp.close()
        await node.stop()
        if (pidFile !== undefined) await removePidFile(pidFile)
      }
    } finally {
      end.close()
    }
  },
})

function announce(
  { json, print, printJson }: Context<typeof flags>,
  { node, datacenter, httpAddress, dns, addresses }: RunningNode,
): void {
  const dnsAddress = dns && `${dns.host.includes(':') ? `[${dns.host}]` : dns.host}:${dns.port}`
  if (json) {
    const shown = { Node: node, Datacenter: datacenter, HTTP: httpAddress, DNS: dnsAddress, Addresses: addresses }
    printJson(shown, { stream: true })
    return
  }
  print(`${node} of ${datacenter} is ready`)
  print(`  HTTP    ${httpAddress}`)
  if (dnsAddress !== undefined) print(`  DNS     ${dnsAddress}`)
  for (const address of addresses) print(`  libp2p  ${address}`)
}

/** The field of `leave` in the configuration that a signal asks; undefined for an end without one. */
type EndSignal = 'onInterrupt' | 'onTerminate' | undefined

const leavesOn = (input: { readonly leave?: unknown }, signal: EndSignal): boolean =>
  signal !== undefined && (input.leave as Record<string, unknown> | undefined)?.[signal] === true

/** Definitions as they stand in the files when they are asked for; the first time those that were just read. */
function definitionFiles(context: Context<typeof flags>, first: Given) {
  let given: Given | undefined = first
  return {
    async read() {
      const now = given ?? (await readGiven(context))
      if (given === undefined) {
        for (const line of now.warnings.filter((one) => !first.warnings.includes(one))) context.note(line)
        const changed = differences(first.input, now.input)
        if (changed.length > 0) context.note(`${changed.join(', ')}: changed, which counts from the next start on`)
      }
      given = undefined
      return now.definitions
    },
  }
}

function reloadOnHangUp(node: RunningNode, note: (line: string) => void): { close(): void } {
  const reload = () =>
    void node.reload().then(
      () => note('reloaded'),
      (error: unknown) => note(`not reloaded: ${(error as Error).message}`),
    )
  process.on('SIGHUP', reload)
  return { close: () => void process.off('SIGHUP', reload) }
}

/** The first signal ends it in good order; the second of its kind finds no handler any more and ends the process. */
function listenForEnd(signal: AbortSignal | undefined): {
  readonly told: Promise<EndSignal>
  readonly signal: AbortSignal
  close(): void
} {
  const { promise, resolve } = Promise.withResolvers<EndSignal>()
  const end = () => resolve(undefined)
  const interrupt = () => resolve('onInterrupt')
  const terminate = () => resolve('onTerminate')
  process.once('SIGINT', interrupt)
  process.once('SIGTERM', terminate)
  if (signal?.aborted) end()
  signal?.addEventListener('abort', end)
  const ending = new AbortController()
  void promise.then(() => ending.abort())
  return {
    told: promise,
    signal: ending.signal,
    close() {
      process.off('SIGINT', interrupt)
      process.off('SIGTERM', terminate)
      signal?.removeEventListener('abort', end)
    },
  }
}
