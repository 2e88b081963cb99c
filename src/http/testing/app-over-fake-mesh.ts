import { afterEach, beforeEach } from 'vitest'
import { systemClock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/ports.ts'
import { SeededRandom } from '../../runtime/virtual.ts'
import { type App, type AppOptions, createApp } from '../app.ts'
import { type FakeMesh, fakeMesh } from './fake-mesh.ts'

/** Called as a server would call it, without a socket. */
export interface AppOverFakeMesh {
  /** Both are new for each test. */
  readonly app: App
  readonly mesh: FakeMesh
  /** Fields of what was logged as an error. */
  readonly errors: readonly unknown[]
  /** What the app's clock shows. */
  clockMs: number
  /** Begins anew with other options. */
  start(options?: Partial<AppOptions>): void
  close(): void
  call(path: string, init?: RequestInit): Promise<Response>
  /** What is no text is sent as JSON. */
  send(method: string, path: string, body?: unknown): Promise<Response>
  put(path: string, body: unknown): Promise<Response>
  textOf(path: string, init?: RequestInit): Promise<[status: number, text: string]>
}

/** The functions need no `this`. */
export function appOverFakeMesh(): AppOverFakeMesh {
  let mesh = fakeMesh()
  let errors: unknown[] = []
  const logger: Logger = {
    debug() {},
    info() {},
    warn() {},
    error: (fields) => void errors.push(fields),
    child: () => logger,
  }
  const clock = { ...systemClock, nowMs: () => http.clockMs }
  const create = (options: Partial<AppOptions> = {}): App =>
    createApp({ mesh, clock, random: new SeededRandom(1), logger, version: '0.1.0', ...options })
  let app: App | undefined

  const http: AppOverFakeMesh = {
    get app() {
      return app!
    },
    get mesh() {
      return mesh
    },
    get errors() {
      return errors
    },
    clockMs: 0,
    start(options) {
      app?.close()
      app = create(options)
    },
    close: () => app?.close(),
    call: async (path, init = {}) =>
      app!.fetch(new Request(`http://127.0.0.1${path}`, init), { remoteAddress: '127.0.0.1', acceptEncoding: '' }),
    send: (method, path, body) =>
      http.call(path, {
        method,
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
    put: (path, body) => http.send('PUT', path, body),
    textOf: async (path, init) => {
      const response = await http.call(path, init)
      return [response.status, await response.text()]
    },
  }
  beforeEach(() => {
    mesh = fakeMesh()
    errors = []
    http.start()
  })
  afterEach(() => http.close())
  return http
}
