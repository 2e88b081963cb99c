/** Serves the bare app of a bench with the runtime's own server until stdin ends, and prints `{"port":...}` when it listens. */
import type { Hono } from 'hono'

declare const Deno: {
  serve(options: object, fetch: (request: Request) => Response | Promise<Response>): { addr: { port: number } }
}
declare const Bun: { serve(options: object): { port: number } }

export async function serveBare({ fetch }: Hono): Promise<void> {
  const ready = (port: number): void => console.log(JSON.stringify({ port }))
  const listen = { hostname: '127.0.0.1', port: 0 }
  if ('Deno' in globalThis) ready(Deno.serve({ ...listen, onListen() {} }, fetch).addr.port)
  else if ('Bun' in globalThis) ready(Bun.serve({ ...listen, fetch }).port)
  else {
    const { serve } = await import('@hono/node-server')
    serve({ ...listen, fetch }, (info) => ready(info.port))
  }
  process.stdin.on('end', () => process.exit(0)).resume()
}
