/** Backends whose traffic is counted: HTTP and gRPC, each instance on an address of its own, so that all share the ports. */

import { createServer, type Server } from 'node:http'
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js'

export interface Backend {
  readonly id: string
  readonly address: string
  /** Requests of `/` that it answered, and of `/metrics`. */
  hits: number
  scrapes: number
  healthy: boolean
  stop(): Promise<void>
}

/** Connections of gRPC end after so long, so that clients look the name up again. */
const CONNECTION_AGE_MS = 500

export async function startBackend(id: string, address: string, httpPort: number, grpcPort: number): Promise<Backend> {
  const backend = { id, address, hits: 0, scrapes: 0, healthy: true }
  const server = createServer((request, response) => {
    if (request.url === '/health') {
      response.writeHead(backend.healthy ? 200 : 503).end()
    } else if (request.url === '/metrics') {
      backend.scrapes++
      response.setHeader('content-type', 'text/plain; version=0.0.4').end('up_since 1\n')
    } else {
      backend.hits++
      response.end(id)
    }
  })
  await listen(server, address, httpPort)
  const grpc = new GrpcServer({
    'grpc.max_connection_age_ms': CONNECTION_AGE_MS,
    'grpc.max_connection_age_grace_ms': 200,
  })
  const plain = (bytes: Buffer): Buffer => bytes
  grpc.register(
    '/web.Web/Who',
    (_call: unknown, done: (error: null, value: Buffer) => void) => {
      backend.hits++
      done(null, Buffer.from(id))
    },
    plain,
    plain,
    'unary',
  )
  await new Promise<void>((resolve, reject) => {
    grpc.bindAsync(`${address}:${grpcPort}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    )
  })
  return Object.assign(backend, {
    async stop() {
      grpc.forceShutdown()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
    },
  })
}

function listen(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, () => resolve())
  })
}
