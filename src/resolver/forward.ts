/** Questions and commands that go to another node: what is sent, what is served, and what becomes of failures. */
import type { Command, CommandResult } from '../catalog/catalog.ts'
import type { Federation } from '../federation/federation.ts'
import { ageToWire } from '../model/age.ts'
import { AtollError, isAtollError } from '../model/errors.ts'
import type { Clock, Random } from '../runtime/ports.ts'
import {
  type Answer,
  type AnswerValue,
  type AskOptions,
  boundedWaitMs,
  type CommandOptions,
  longestWaitMs,
  type Mesh,
  type Question,
} from './mesh.ts'
import { packRegistrations } from './registrations-wire.ts'
import { SUMMARIES } from './summaries/wire.ts'
import { type AskMessage, answerOf, askMessageOf, type ExecuteMessage, executeMessageOf, resultOf } from './wire.ts'

/** Another DC answers within this, or the caller hears that it does not. */
export const REMOTE_READ_TIMEOUT_MS = 1_700
/** A server of the own DC. */
export const LOCAL_READ_TIMEOUT_MS = 5_000
/** One attempt of a write, and all of them. */
export const WRITE_ATTEMPT_TIMEOUT_MS = 2_000
export const WRITE_TIMEOUT_MS = 5_000
/** With less time left nobody is asked once more. */
const WORTH_ASKING_MS = 100
/** Client to server to gateway; no way is longer. */
const MAX_HOPS = 2
/** Questions that wait elsewhere for a change, at once: what is left of the calls to one peer is for all others, signs of life among them. */
export const MAX_WAITING = 3_000

/** What a server's door answers to other nodes. */
export const SERVED = ['mesh.ask', 'mesh.execute', 'mesh.explain', 'mesh.status', 'mesh.kv-changes', SUMMARIES] as const

export interface ForwardOptions {
  readonly federation: Federation
  readonly clock: Clock
  readonly random: Random
  readonly datacenter: string
}

export class Forwarder {
  readonly #options: ForwardOptions
  #waiting = 0

  constructor(options: ForwardOptions) {
    this.#options = options
  }

  /**
   * Asks a server of `to`; a blocking question holds as long as it waits. When the server goes away meanwhile, another
   * one (or the same, back again) is asked once more: asking changes nothing.
   */
  async ask(to: string, question: Question, options: AskOptions, hops = 0): Promise<Answer<unknown>> {
    const { clock, datacenter } = this.#options
    const isBlocking = waits(options)
    const baseMs = to === datacenter ? LOCAL_READ_TIMEOUT_MS : REMOTE_READ_TIMEOUT_MS
    const limitMs = baseMs + (isBlocking ? longestWaitMs(options.waitMs) : 0)
    if (isBlocking && this.#waiting >= MAX_WAITING) {
      throw new AtollError(
        'overloaded',
        `${MAX_WAITING} questions of this node wait at others, its limit; ask a server`,
      )
    }
    const startMs = clock.nowMs()
    const passedMs = (): number => clock.nowMs() - startMs
    if (isBlocking) this.#waiting++
    try {
      for (let again = false; ; again = true) {
        try {
          const waitMs = isBlocking ? Math.max(1, boundedWaitMs(options.waitMs) - passedMs()) : undefined
          return await this.#askOnce(to, question, { ...options, waitMs }, hops, limitMs - passedMs())
        } catch (error) {
          if (!isAtollError(error) || error.code !== 'timeout') throw error
          if (again || options.signal?.aborted || limitMs - passedMs() < WORTH_ASKING_MS)
            throw noAnswer(to, Math.round(passedMs()), error)
        }
      }
    } finally {
      if (isBlocking) this.#waiting--
    }
  }

  async #askOnce(
    to: string,
    question: Question,
    { signal, ...rest }: AskOptions,
    hops: number,
    deadlineMs: number,
  ): Promise<Answer<unknown>> {
    const message: AskMessage = { question, options: rest, hops: hops + 1 }
    const { federation, datacenter } = this.#options
    const hedge = to !== datacenter && !waits(rest)
    const answer = await federation.call({ datacenter: to }, 'mesh.ask', message, { deadlineMs, signal, hedge })
    return answerOf(to, question.kind, answer)
  }

  /**
   * Sends a command to a server of `to`. It carries a request id, so that sending it again when the answer got lost
   * cannot apply it twice.
   */
  async execute(
    to: string,
    datacenter: string,
    command: Command,
    options: CommandOptions,
    requestId?: string,
    hops = 0,
  ): Promise<CommandResult> {
    const { clock, federation, random } = this.#options
    const message: ExecuteMessage = {
      command,
      datacenter,
      token: options.principal.token,
      requestId: requestId ?? random.uuid(),
      hops: hops + 1,
    }
    const startMs = clock.nowMs()
    let maySent = false
    for (let attempt = 0; ; attempt++) {
      try {
        const result = await federation.call({ datacenter: to }, 'mesh.execute', message, {
          deadlineMs: Math.min(WRITE_ATTEMPT_TIMEOUT_MS, WRITE_TIMEOUT_MS - (clock.nowMs() - startMs)),
          signal: options.signal,
        })
        return resultOf(datacenter, result)
      } catch (error) {
        if (!isAtollError(error) || (error.code !== 'timeout' && error.code !== 'unavailable')) throw error
        if (error.code === 'timeout') maySent = true
        const leftMs = WRITE_TIMEOUT_MS - (clock.nowMs() - startMs)
        const pauseMs = 100 * 2 ** attempt * (0.5 + random.float())
        const again = maySent ? leftMs > pauseMs + 100 : attempt < 2 && leftMs > pauseMs + 100
        if (!again) throw maySent ? unknownOutcome(datacenter, error) : error
        await clock.sleep(pauseMs, options.signal)
      }
    }
  }

  /** Serves what other nodes forward to this server. Those of other DCs may ask and change what is of this one. */
  serve(mesh: Pick<Mesh, 'ask'>, execute: (message: ExecuteMessage) => Promise<CommandResult>): void {
    const { federation, datacenter } = this.#options
    federation.handle('mesh.ask', async (payload, { peer, signal }) => {
      const { question, options, hops } = askMessageOf(payload)
      if (hops > MAX_HOPS)
        throw new AtollError('internal', `a question went over ${hops} nodes; it would go in circles`)
      const foreign = peer.datacenter !== datacenter
      const answer = await mesh.ask(question, {
        ...options,
        ...(foreign && { datacenter, noFailover: true }),
        signal,
      })
      const aged = Number.isFinite(answer.ageMs) ? answer : { ...answer, ageMs: ageToWire(answer.ageMs) }
      if (question.kind !== 'registrations') return aged
      return { ...aged, value: packRegistrations(answer.value as AnswerValue<'registrations'>) }
    })
    federation.handle('mesh.execute', async (payload, { peer }) => {
      const message = executeMessageOf(payload)
      if (message.hops > MAX_HOPS)
        throw new AtollError('internal', `a command went over ${message.hops} nodes; it would go in circles`)
      this.#assertMay(peer, message)
      return await execute(message)
    })
  }

  /** An agent speaks for its own node alone, and nobody through this DC to a third one. */
  #assertMay(
    peer: { readonly datacenter: string; readonly nodeId: string; readonly node: string },
    { command, datacenter }: ExecuteMessage,
  ): void {
    const own = this.#options.datacenter
    if (peer.datacenter !== own && datacenter !== own) {
      throw new AtollError('forbidden', `datacenter: ${own} passes on no writes of ${peer.datacenter}`, {
        field: 'datacenter',
      })
    }
    if (command.kind !== 'agent-sync') return
    const itself = command.node.id.toLowerCase() === peer.nodeId.toLowerCase()
    if (peer.datacenter === own && datacenter === own && itself) return
    throw new AtollError('forbidden', `node: ${peer.node} may not register for the agent of ${command.node.node}`, {
      field: 'node',
    })
  }
}

const waits = ({ index }: Pick<AskOptions, 'index'>): boolean => index !== undefined && index > 0

const noAnswer = (datacenter: string, ms: number, cause: unknown): AtollError =>
  new AtollError('unavailable', `datacenter "${datacenter}" did not answer within ${ms} ms`, { cause })

const unknownOutcome = (datacenter: string, cause: unknown): AtollError =>
  new AtollError(
    'unknown-outcome',
    `datacenter "${datacenter}" did not confirm the write in time; it may or may not have been applied`,
    { cause },
  )
