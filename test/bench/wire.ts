/** A keep-alive HTTP connection that costs next to nothing: what is measured is the node, not a client library. */
import { connect, type Socket } from 'node:net'

export interface WireAnswer {
  readonly status: number
  readonly head: string
  readonly body: string
  /** performance.now() when the last byte had come. */
  readonly atMs: number
}

const HEAD_END = Buffer.from('\r\n\r\n')

/** One request at a time. Rejects what is in flight, and all that comes later, when the connection ends. */
export class Wire {
  readonly #socket: Socket
  readonly #host: string
  #bytes: Buffer = Buffer.alloc(0)
  #settle: PromiseWithResolvers<WireAnswer> | undefined
  #failure: Error | undefined

  static async open(port: number, host = '127.0.0.1'): Promise<Wire> {
    const socket = connect({ port, host, noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new Wire(socket, `${host}:${port}`)
  }

  private constructor(socket: Socket, host: string) {
    this.#socket = socket
    this.#host = host
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the connection was closed')))
  }

  get failed(): boolean {
    return this.#failure !== undefined
  }

  get(path: string): Promise<WireAnswer> {
    return this.send(`GET ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n\r\n`)
  }

  put(path: string, body: unknown = ''): Promise<WireAnswer> {
    const text = body === '' ? '' : JSON.stringify(body)
    const length = Buffer.byteLength(text)
    return this.send(`PUT ${path} HTTP/1.1\r\nHost: ${this.#host}\r\nContent-Length: ${length}\r\n\r\n${text}`)
  }

  /** A request as bytes. */
  send(request: string | Buffer): Promise<WireAnswer> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#settle !== undefined) return Promise.reject(new Error('one request at a time'))
    this.#settle = Promise.withResolvers()
    this.#socket.write(request)
    return this.#settle.promise
  }

  close(): void {
    this.#socket.destroy()
  }

  #received(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    const end = this.#bytes.indexOf(HEAD_END)
    if (end < 0) return
    const head = this.#bytes.toString('latin1', 0, end)
    const rest = this.#bytes.subarray(end + HEAD_END.length)
    const body = /^transfer-encoding: *chunked/im.test(head) ? unchunked(rest) : sized(rest, head)
    if (body === undefined) return
    this.#bytes = Buffer.alloc(0)
    const settle = this.#settle
    this.#settle = undefined
    settle?.resolve({ status: Number(head.slice(9, 12)), head, body: body.toString(), atMs: performance.now() })
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#settle?.reject(this.#failure)
    this.#settle = undefined
  }
}

function sized(rest: Buffer, head: string): Buffer | undefined {
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0)
  return rest.length < length ? undefined : rest.subarray(0, length)
}

function unchunked(rest: Buffer): Buffer | undefined {
  const parts: Buffer[] = []
  for (let at = 0; ; ) {
    const line = rest.indexOf('\r\n', at)
    if (line < 0) return undefined
    const size = Number.parseInt(rest.toString('latin1', at, line), 16)
    const begin = line + 2
    if (rest.length < begin + size + 2) return undefined
    if (size === 0) return Buffer.concat(parts)
    parts.push(rest.subarray(begin, begin + size))
    at = begin + size + 2
  }
}

/** Value of a header, '' when there is none. */
export const headerOf = (answer: WireAnswer, name: string): string =>
  new RegExp(`^${name}: *(.*)$`, 'im').exec(answer.head)?.[1]?.trim() ?? ''
