/**
 * The sample backends of one datacenter: little HTTP servers, one a port, in one process. `GET /health` is what their
 * checks ask; `PUT /health/fail` and `PUT /health/pass` turn it. Ends when standard input closes.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { messageOf } from './errors.ts'
import type { BackendInstance, BackendOrder } from './messages.ts'
import { receiveOrders, report } from './orders.ts'

const MAX_CONNECTIONS = 256

class Backend {
  readonly instance: BackendInstance
  readonly #datacenter: string
  #server: Server | undefined
  #healthy = true

  constructor(instance: BackendInstance, datacenter: string) {
    this.instance = instance
    this.#datacenter = datacenter
  }

  async listen(host: string): Promise<void> {
    if (this.#server !== undefined) return
    const server = createServer((request, response) => this.#answer(request, response))
    server.maxConnections = MAX_CONNECTIONS
    server.requestTimeout = 5000
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.instance.port, host, resolve)
    })
    this.#server = server
    this.#healthy = true
  }

  async close(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    request.resume()
    const { status, body } = this.#reply(request.method ?? '', request.url?.split('?')[0] ?? '')
    const bytes = Buffer.from(`${JSON.stringify(body)}\n`)
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length })
    response.end(bytes)
  }

  #reply(method: string, path: string): { status: number; body: object } {
    if (method === 'PUT' && (path === '/health/fail' || path === '/health/pass')) {
      this.#healthy = path === '/health/pass'
      return { status: 200, body: this.#health() }
    }
    if (method !== 'GET' && method !== 'HEAD') return { status: 405, body: { error: 'GET only' } }
    if (path === '/health') return { status: this.#healthy ? 200 : 503, body: this.#health() }
    if (path !== '/') return { status: 404, body: { error: 'there are /, /health, /health/fail and /health/pass' } }
    const { id, service } = this.instance
    return { status: 200, body: { service, instance: id, datacenter: this.#datacenter } }
  }

  #health(): object {
    return { health: this.#healthy ? 'passing' : 'failing' }
  }
}

let backends: Backend[] = []
let host = '127.0.0.1'

async function obey(order: BackendOrder): Promise<void> {
  if (order.type === 'start') {
    host = order.host
    backends = order.instances.map((instance) => new Backend(instance, order.datacenter))
    try {
      await Promise.all(backends.map((backend) => backend.listen(host)))
      report({ topology: 'ready' })
    } catch (error) {
      report({ topology: 'failed', message: messageOf(error) })
      setTimeout(() => process.exit(1), 100)
    }
    return
  }
  const meant = backends.filter(({ instance }) => order.service === undefined || instance.service === order.service)
  try {
    await Promise.all(meant.map((backend) => (order.running ? backend.listen(host) : backend.close())))
    report({ topology: 'done', sequence: order.sequence })
  } catch (error) {
    report({ topology: 'done', sequence: order.sequence, error: messageOf(error) })
  }
}

receiveOrders<BackendOrder>(obey, () => process.exit(0))
