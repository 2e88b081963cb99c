import {
  create,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { messageOf } from '../../model/errors.ts'
import type { Clock, Logger } from '../../runtime/ports.ts'
import { StoreError } from '../store.ts'
import { CallError, refusal } from './call-error.ts'
import { Auth, AuthenticateRequestSchema } from './proto/etcd_pb.js'

export interface ClusterOptions {
  /** Members as host:port; one at least. */
  readonly members: readonly string[]
  readonly credentials: grpc.ChannelCredentials
  /** Name that the members' certificates are for, where it is not the host that is dialled. */
  readonly serverName?: string
  readonly login?: { readonly user: string; readonly password: string }
  readonly clock: Clock
  readonly logger: Logger
}

/** How long what may be asked again is asked for. */
export const GIVE_UP_MS = 4_500
/** One attempt of it. */
const ATTEMPT_MS = 1_000
const PAUSE_MS = 50
/** Two log-ins for the same reason are at least so far apart. */
const LOGIN_EVERY_MS = 1_000

/** A member that hangs shows by its pings; etcd refuses them more often than every five seconds. */
const CHANNEL: grpc.ChannelOptions = {
  'grpc.keepalive_time_ms': 6_000,
  'grpc.keepalive_timeout_ms': 2_000,
  'grpc.max_receive_message_length': -1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // A request is sent again by those who know whether that may be.
  'grpc.enable_retries': 0,
}

export interface Stream<I extends DescMessage> {
  send(message: MessageShape<I>): void
  cancel(): void
}

export interface StreamHandler<O extends DescMessage> {
  onMessage(message: MessageShape<O>): void
  /** Once, however it ended, unless it was cancelled. */
  onEnd(error: CallError): void
}

/** Connections to the members of one etcd cluster. Calls go to one of them for as long as it answers. */
export class Cluster {
  readonly #o: ClusterOptions
  readonly #channel: grpc.ChannelOptions
  #members: readonly string[]
  #clients: grpc.Client[]
  #current = 0
  #metadata = new grpc.Metadata()
  #login: Promise<void> | undefined
  #loggedInMs = Number.NEGATIVE_INFINITY
  #failedSinceProof = true
  #provenMs = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(options: ClusterOptions) {
    this.#o = options
    const { members, serverName } = options
    this.#channel = serverName === undefined ? CHANNEL : { ...CHANNEL, 'grpc.ssl_target_name_override': serverName }
    this.#members = members
    this.#clients = members.map((address) => this.#clientOf(address))
  }

  #clientOf(address: string): grpc.Client {
    return new grpc.Client(address, this.#o.credentials, this.#channel)
  }

  get members(): readonly string[] {
    return this.#members
  }

  /** Members came or went: one at least, as host:port. Connections to those that stay go on; calls under way at the others end. */
  setMembers(members: readonly string[]): void {
    if (this.#closed || members.length === 0 || members.join() === this.#members.join()) return
    const known = new Map(this.#members.map((address, i) => [address, this.#clients[i]!]))
    const asked = members.indexOf(this.#members[this.#current]!)
    this.#clients = members.map((address) => known.get(address) ?? this.#clientOf(address))
    this.#members = members
    this.#current = Math.max(0, asked)
    for (const [address, client] of known) if (!members.includes(address)) client.close()
  }

  /** The member that is asked now. */
  get current(): number {
    return this.#current
  }

  /** When a majority last answered, on the clock; undefined when something failed since. */
  get provenMs(): number | undefined {
    return this.#failedSinceProof ? undefined : this.#provenMs
  }

  /** Goes on with the next member, unless that happened already. */
  leave(member: number): void {
    this.#failedSinceProof = true
    if (this.#current === member) this.#current = (member + 1) % this.#clients.length
  }

  /**
   * One attempt at one member. Rejects with CallError; when that `isOpen`, it may have been done. `proves`: that it is answered
   * shows that there is a majority.
   */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    { timeoutMs = ATTEMPT_MS, member = this.#current, proves = true } = {},
  ): Promise<MessageShape<O>> {
    if (this.#o.login && this.#loggedInMs === Number.NEGATIVE_INFINITY) await this.#logIn(member)
    const startMs = this.#o.clock.nowMs()
    try {
      const answer = await this.#send(method, request, timeoutMs, member)
      if (proves) this.#proven(startMs)
      return answer
    } catch (error) {
      if (!(error instanceof CallError)) throw error
      if (error.isOpen) this.leave(member)
      // Refused before it was done: the token is old, or the users changed since.
      const mayBeLogin = error.code === grpc.status.UNAUTHENTICATED || error.code === grpc.status.INVALID_ARGUMENT
      if (!this.#o.login || !mayBeLogin) throw error
      await this.#logIn(member)
      return await this.#send(method, request, timeoutMs, member)
    }
  }

  #proven(startMs: number): void {
    this.#provenMs = startMs
    this.#failedSinceProof = false
  }

  /**
   * Asks until a member answers: for what may be done twice. Rejects with StoreError: 'unavailable' after 4.5 s, or what the
   * refusal of a member means.
   */
  async ask<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    asked: string,
  ): Promise<MessageShape<O>> {
    const { clock } = this.#o
    const untilMs = clock.nowMs() + GIVE_UP_MS
    for (let failures = 0; ; failures++) {
      const leftMs = untilMs - clock.nowMs()
      try {
        return await this.call(method, request, { timeoutMs: Math.min(leftMs, ATTEMPT_MS * 1.5 ** failures) })
      } catch (error) {
        if (!(error instanceof CallError)) throw error
        if (!error.isOpen) throw refusal(error, asked)
        if (this.#closed) throw new StoreError('closed', 'the store is closed')
        if (untilMs - clock.nowMs() <= PAUSE_MS) throw this.unavailable(error)
        await clock.sleep(PAUSE_MS)
      }
    }
  }

  unavailable(error: Error): StoreError {
    const where = this.#members.join(', ')
    return new StoreError(
      'unavailable',
      `etcd at ${where} has no majority, or cannot be reached: ${error.message}`,
      error,
    )
  }

  #send<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    timeoutMs: number,
    member: number,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new StoreError('closed', 'the store is closed'))
        return
      }
      const deadline = this.#o.clock.wallMs() + Math.max(1, timeoutMs)
      const done = (error: grpc.ServiceError | null, answer?: MessageShape<O>): void => {
        if (error) reject(new CallError(error.code, `${error.details} (${this.#members[member]})`))
        else resolve(answer!)
      }
      const { path, serialize, deserialize } = wireOf(method)
      this.#clients[member % this.#clients.length]!.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        request,
        this.#metadata,
        { deadline },
        done,
      )
    })
  }

  /** A stream to the member that is asked now; ended by who opened it, or when the connection ends. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    handler: StreamHandler<O>,
    { hasLeader = false } = {},
  ): Stream<I> {
    const metadata = this.#metadata.clone()
    // etcd then ends the stream when the member has lost the majority.
    if (hasLeader) metadata.set('hasleader', 'true')
    const { path, serialize, deserialize } = wireOf(method)
    const call = this.#clients[this.#current]!.makeBidiStreamRequest(path, serialize, deserialize, metadata, {})
    let over = false
    const end = (code: number, message: string): void => {
      if (over) return
      over = true
      call.cancel()
      handler.onEnd(new CallError(code, message))
    }
    call.on('data', (message: MessageShape<O>) => {
      if (!over) handler.onMessage(message)
    })
    call.on('error', (error: grpc.ServiceError) => end(error.code ?? grpc.status.UNKNOWN, messageOf(error)))
    call.on('end', () => end(grpc.status.UNAVAILABLE, 'the member ended the stream'))
    return {
      send: (message) => {
        if (!over) call.write(message)
      },
      cancel() {
        over = true
        call.cancel()
      },
    }
  }

  /** A stream was refused: perhaps for an old token. Never rejects. */
  async renewLogin(): Promise<void> {
    if (!this.#o.login || this.#closed) return
    await this.#logIn(this.#current).catch((error: unknown) => {
      this.#o.logger.warn({ reason: messageOf(error) }, 'logging in to etcd failed')
    })
  }

  #logIn(member: number): Promise<void> {
    const { clock, login } = this.#o
    if (clock.nowMs() - this.#loggedInMs < LOGIN_EVERY_MS) return Promise.resolve()
    this.#login ??= this.#authenticate(login!, member).finally(() => {
      this.#login = undefined
    })
    return this.#login
  }

  async #authenticate({ user, password }: { user: string; password: string }, member: number): Promise<void> {
    const request = create(AuthenticateRequestSchema, { name: user, password })
    const { token } = await this.#send(Auth.method.authenticate, request, ATTEMPT_MS * 3, member).catch((error) => {
      const refused = error instanceof CallError && error.code === grpc.status.INVALID_ARGUMENT
      throw refused ? new CallError(grpc.status.UNAUTHENTICATED, `store.user ${user}: ${error.message}`) : error
    })
    this.#loggedInMs = this.#o.clock.nowMs()
    const metadata = new grpc.Metadata()
    metadata.set('token', token)
    this.#metadata = metadata
  }

  close(): void {
    this.#closed = true
    for (const client of this.#clients) client.close()
  }
}

interface Wire<I extends DescMessage, O extends DescMessage> {
  readonly path: string
  readonly serialize: (message: MessageShape<I>) => Buffer
  readonly deserialize: (bytes: Buffer) => MessageShape<O>
}

const wires = new WeakMap<object, Wire<DescMessage, DescMessage>>()

function wireOf<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O> | DescMethodBiDiStreaming<I, O>,
): Wire<I, O> {
  const known = wires.get(method)
  if (known) return known as unknown as Wire<I, O>
  const wire: Wire<I, O> = {
    path: `/${method.parent.typeName}/${method.name}`,
    serialize: (message) => {
      const bytes = toBinary(method.input, message)
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    },
    // Its bytes shall be plain arrays, not Buffers.
    deserialize: (bytes) => fromBinary(method.output, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
  }
  wires.set(method, wire as unknown as Wire<DescMessage, DescMessage>)
  return wire
}
