/** Each program as somebody who has it would run it: its page's configuration, and one way to get an answer through it. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { blockOf } from './pages.ts'
import { type Program, pathOf, run, start } from './process.ts'

export interface Place {
  /** For files; below the project, so that programs find its packages. */
  readonly folder: string
  readonly dnsPort: number
  readonly httpPort: number
  /** Of all backends. */
  readonly webPort: number
  readonly grpcPort: number
  /** Free ones. */
  readonly ports: readonly [haproxy: number, nginx: number, unbound: number, dnsmasq: number, prometheus: number]
}

export interface Peer {
  /** The id of the backend that answered. Rejects when none did. */
  ask(): Promise<string>
  /** A process of its own for each question: few are enough. */
  readonly isSlow?: boolean
  stop(): Promise<void>
}

const fetchText = async (url: string): Promise<string> => {
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000), headers: { connection: 'close' } })
  const text = await response.text()
  if (!response.ok) throw new Error(`${url}: ${response.status}`)
  return text
}

/** Asks one of the addresses that a program gave out, in turn. */
function inTurn(addresses: () => Promise<readonly string[]>): () => Promise<string> {
  let turn = 0
  return async () => {
    const list = [...(await addresses())].sort()
    if (list.length === 0) throw new Error('no addresses')
    return fetchText(`http://${list[turn++ % list.length]}/`)
  }
}

async function write(place: Place, name: string, text: string): Promise<string> {
  const folder = join(place.folder, name.split('.')[0]!)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, name), text)
  return folder
}

const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '')
const idle = async (): Promise<void> => {}

export const PEERS: Readonly<Record<string, (place: Place) => Promise<Peer>>> = {
  async haproxy(place) {
    const port = place.ports[0]
    const dns = `127.0.0.1:${place.dnsPort}`
    const text = blockOf('haproxy', 'haproxy', { '127.0.0.1:8600': dns, '127.0.0.1:8080': `127.0.0.1:${port}` })
    const cwd = await write(place, 'haproxy.cfg', text)
    const program = await start(pathOf('haproxy')!, ['-db', '-f', 'haproxy.cfg'], { cwd, port })
    return { ask: () => fetchText(`http://127.0.0.1:${port}/`), stop: program.stop }
  },

  async nginx(place) {
    const port = place.ports[1]
    const text = blockOf('nginx', 'nginx', {
      '127.0.0.1:8600': `127.0.0.1:${place.dnsPort}`,
      '127.0.0.1:8081': `127.0.0.1:${port}`,
      '$web:9000': `$web:${place.webPort}`,
    })
    const cwd = await write(place, 'nginx.conf', text)
    const program = await start(pathOf('nginx')!, ['-p', cwd, '-c', 'nginx.conf', '-e', 'stderr'], { cwd, port })
    return { ask: () => fetchText(`http://127.0.0.1:${port}/`), stop: program.stop }
  },

  async unbound(place) {
    const port = place.ports[2]
    const text = blockOf('unbound', 'unbound', {
      'port: 5353': `port: ${port}`,
      '127.0.0.1@8600': `127.0.0.1@${place.dnsPort}`,
    })
    const cwd = await write(place, 'unbound.conf', text)
    return viaResolver(place, port, await start(pathOf('unbound')!, ['-d', '-c', 'unbound.conf'], { cwd, port }))
  },

  async dnsmasq(place) {
    const port = place.ports[3]
    const text = blockOf('dnsmasq', 'dnsmasq', {
      'port=5354': `port=${port}`,
      '127.0.0.1#8600': `127.0.0.1#${place.dnsPort}`,
    })
    const cwd = await write(place, 'dnsmasq.conf', text)
    return viaResolver(place, port, await start(pathOf('dnsmasq')!, ['-C', join(cwd, 'dnsmasq.conf')], { cwd, port }))
  },

  async grpc(place) {
    const text = blockOf('grpc', 'js', {
      '127.0.0.1:8600': `127.0.0.1:${place.dnsPort}`,
      ':9001': `:${place.grpcPort}`,
    })
    const cwd = await write(place, 'grpc.mjs', text)
    const env = { GRPC_NODE_USE_ALTERNATIVE_RESOLVER: 'true' }
    const program = await start(process.execPath, ['grpc.mjs'], { cwd, env })
    return { ask: () => nextLine(program), stop: program.stop }
  },

  async 'npm consul'(place) {
    const text = blockOf('npm-consul', 'js', { 'port: 8500': `port: ${place.httpPort}` })
    const cwd = await write(place, 'consul.mjs', text)
    const entries = async (): Promise<string[]> => linesOf(await run(process.execPath, ['consul.mjs'], { cwd }))
    return { ask: inTurn(entries), stop: idle, isSlow: true }
  },

  async 'python3-consul'(place) {
    const text = blockOf('python-consul', 'python', { 'port=8500': `port=${place.httpPort}` })
    const cwd = await write(place, 'python.py', text)
    const entries = async (): Promise<string[]> => linesOf(await run(pathOf('python3')!, ['python.py'], { cwd }))
    return { ask: inTurn(entries), stop: idle, isSlow: true }
  },
}

/** What Debian's packages bring. */
export const NEEDED = [
  'dig',
  'kdig',
  'dnsperf',
  'haproxy',
  'nginx',
  'unbound',
  'dnsmasq',
  'prometheus',
  'python3',
] as const

function viaResolver(place: Place, port: number, program: Program): Peer {
  const addresses = async (): Promise<string[]> => {
    const text = await run(pathOf('dig')!, [
      '@127.0.0.1',
      '-p',
      String(port),
      'web.service.consul',
      '+short',
      '+time=2',
      '+tries=2',
    ])
    return linesOf(text)
      .filter((line) => /^[\d.]+$/.test(line))
      .map((address) => `${address}:${place.webPort}`)
  }
  return { ask: inTurn(addresses), stop: program.stop }
}

/** A line that the program writes from now on. */
async function nextLine(program: Program): Promise<string> {
  const from = program.lines().length
  for (const deadline = performance.now() + 5_000; performance.now() < deadline; ) {
    const line = program.lines()[from]
    if (line?.startsWith('error ')) throw new Error(line)
    if (line !== undefined) return line
    if (!program.running) throw new Error(`it ended: ${program.output()}`)
    await new Promise((wake) => setTimeout(wake, 20))
  }
  throw new Error('it says nothing')
}

/** Where a resolver of Prometheus's own listens, on port 53. */
const RESOLVER = '127.0.14.53'

/** Asks the system's resolvers, so it gets its own view of them: a mount of its own, which takes root. */
export async function startPrometheus(place: Place): Promise<Pick<Peer, 'stop'>> {
  const resolver = blockOf('dnsmasq', 'dnsmasq', {
    'port=5354': 'port=53',
    'listen-address=127.0.0.1': `listen-address=${RESOLVER}`,
    '127.0.0.1#8600': `127.0.0.1#${place.dnsPort}`,
  })
  const cwd = await write(place, 'prometheus.yml', blockOf('prometheus', 'yaml', {}))
  await writeFile(join(cwd, 'dnsmasq.conf'), resolver)
  await writeFile(join(cwd, 'resolv.conf'), `nameserver ${RESOLVER}\n`)
  const dnsmasq = await start(pathOf('dnsmasq')!, ['-C', join(cwd, 'dnsmasq.conf')], { cwd })
  const port = place.ports[4]
  const prometheus = `${pathOf('prometheus')} --config.file=prometheus.yml --web.listen-address=127.0.0.1:${port}`
  const script = `mount --bind resolv.conf /etc/resolv.conf && exec ${prometheus} --storage.tsdb.path=data`
  const program = await start('unshare', ['-m', 'sh', '-ec', script], { cwd, port })
  return {
    async stop() {
      await Promise.all([program.stop(), dnsmasq.stop()])
    },
  }
}

/** What a shell says to the commands of docs/programs/dig.md, in the order of the page. */
export async function runPage(place: Place, block: number): Promise<string> {
  const page = await readFile(new URL('../../docs/programs/dig.md', import.meta.url), 'utf8')
  const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]!)
  const script = blocks[block]!.replaceAll('-p 8600', `-p ${place.dnsPort}`)
  return new Promise((resolve, reject) => {
    execFile('/bin/sh', ['-ec', script], { cwd: place.folder, timeout: 20_000 }, (error, stdout, stderr) =>
      error ? reject(new Error(`${error.message}\n${stdout}${stderr}`)) : resolve(stdout),
    )
  })
}
