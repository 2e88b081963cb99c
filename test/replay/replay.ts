/** Sends a recording, step by step, and says what was answered otherwise. */
import { createHash } from 'node:crypto'
import { bodyOf } from './bodies.ts'
import {
  compareJson,
  isBinaryBody,
  isDigestBody,
  isObject,
  isShapeBody,
  isTextBody,
  maskText,
  PathPattern,
  shapeOf,
} from './compare.ts'
import { askDns, compareDns } from './dns.ts'
import type { RecordedBody, RecordedRequest, Recording, Step } from './recording.ts'
import { type RawAnswer, send } from './send.ts'

/** A node that stands for one of Consul's agents. */
export interface Agent {
  readonly http: number
  /** What Consul needed three ports for. */
  readonly libp2p: number
  readonly dns: number
}

export interface Difference {
  readonly step: number
  readonly name: string
  readonly request: string
  /** `status`, `header X-Consul-Index`, `index`, `elapsed`, or a path in the body. */
  readonly what: string
  readonly recorded: unknown
  readonly got: unknown
}

export interface ReplayOptions {
  /** By datacenter; dc1 is there always. */
  readonly agents: Readonly<Record<string, Agent>>
}

export async function replay(recording: Recording, options: ReplayOptions): Promise<Difference[]> {
  return new Replay(recording, options).run()
}

class Replay {
  readonly #recording: Recording
  readonly #agents: Readonly<Record<string, Agent>>
  readonly #volatile: readonly PathPattern[]
  readonly #saved = new Map<string, string>()
  /** By path without what makes it wait: the last index recorded and got. */
  readonly #indexes = new Map<string, { recorded: number; got: number }>()
  readonly #differences: Difference[] = []
  readonly #ports: readonly (readonly [recorded: string, got: string])[]

  constructor(recording: Recording, { agents }: ReplayOptions) {
    this.#recording = recording
    this.#agents = agents
    this.#volatile = recording.volatile.map((pattern) => new PathPattern(pattern))
    this.#ports = portsOf(recording.setup, agents)
  }

  async run(): Promise<Difference[]> {
    for (const [i, step] of this.#recording.steps.entries()) {
      if (step.query !== undefined) await this.#dnsStep(step, i)
      else await this.#step(step, i)
    }
    return this.#differences
  }

  async #dnsStep(step: Step, at: number): Promise<void> {
    const query = step.query!
    const { dns, libp2p } = this.#agents[step.agent ?? 'dc1']!
    const got = await askDns(query, dns)
    const serverPort = /server (\d+)/.exec(this.#recording.setup)![1]!
    const request = `DNS ${query.name} ${query.type}`
    for (const difference of compareDns(Buffer.from(step.hex!, 'hex'), got, { [libp2p]: serverPort })) {
      this.#differences.push({ step: at, name: step.name, request, ...difference })
    }
  }

  async #step(step: Step, at: number): Promise<void> {
    if (step.delayMs) await pause(step.delayMs)
    const others = (step.during ?? []).map(async (other) => {
      await pause(other.afterMs)
      return this.#send(other)
    })
    const [answer, ...otherAnswers] = await Promise.all([this.#send(step), ...others])
    const note = (what: string, recorded: unknown, got: unknown): void => {
      this.#differences.push({ step: at, name: step.name, request: `${step.method} ${step.path}`, what, recorded, got })
    }
    if (step.status !== answer.status) note('status', step.status, answer.status)
    this.#compareHeaders(step, answer, note)
    this.#compareBody(step.body, answer, note)
    if (step.elapsedMs !== undefined) compareElapsed(step.elapsedMs, answer.elapsedMs, note)
    for (const [i, other] of otherAnswers.entries()) {
      const recorded = step.during![i]!.status
      if (other.status !== recorded) note(`during[${i}].status`, recorded, other.status)
    }
    for (const [name, path] of Object.entries(step.saves ?? {})) this.#saved.set(name, savedValue(path, answer))
  }

  #send(request: RecordedRequest): Promise<RawAnswer> {
    const agent = this.#agents[request.agent ?? 'dc1'] ?? this.#agents.dc1!
    const path = this.#toOurs(this.#fill(request.pathTemplate ?? request.path))
    const body = this.#bytesOf(request.requestBodyTemplate ?? request.requestBody, request.method)
    return send(agent.http, {
      method: request.method,
      path,
      ...(request.requestHeaders && { headers: request.requestHeaders }),
      ...(body && { body }),
    })
  }

  #bytesOf(body: RecordedBody, method: string): Uint8Array | undefined {
    if (body === undefined) return method === 'GET' || method === 'HEAD' ? undefined : new Uint8Array(0)
    if (isBinaryBody(body)) return Buffer.from(body.base64, 'base64')
    if (isDigestBody(body)) return bodyOf(body)
    const text = isTextBody(body) ? body.text : JSON.stringify(body)
    return Buffer.from(this.#toOurs(this.#fill(text)))
  }

  #fill(text: string): string {
    return text.replace(/\{\{(\w+)\}\}/g, (_, name: string) => this.#saved.get(name) ?? '0')
  }

  #toOurs(text: string): string {
    return this.#ports.reduce((result, [recorded, got]) => result.replaceAll(recorded, got), text)
  }

  #toTheirs(text: string): string {
    return this.#ports.reduce((result, [recorded, got]) => result.replaceAll(got, recorded), text)
  }

  #compareHeaders(step: Step, answer: RawAnswer, note: Note): void {
    const recorded = new Map(Object.entries(step.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]))
    for (const [name, value] of recorded) {
      const got = answer.headers.get(name)
      if (name === 'x-consul-index') this.#compareIndex(step, value, got, note)
      else if (name === 'x-consul-lastcontact' || name === 'age') {
        if (got === undefined || !/^\d+$/.test(got)) note(`header ${name}`, value, got)
      } else if (got !== value) note(`header ${name}`, value, got)
    }
    for (const [name, value] of answer.headers) {
      if (/^(x-consul-|x-cache$)/.test(name) && !recorded.has(name)) note(`header ${name}`, undefined, value)
    }
  }

  /** Indexes differ; whether one rose since the same was asked before does not. */
  #compareIndex(step: Step, value: string, got: string | undefined, note: Note): void {
    if (got === undefined || !/^[1-9]\d*$/.test(got)) {
      note('header x-consul-index', value, got)
      return
    }
    const key = `${step.agent ?? ''} ${step.path.replace(/[?&](index|wait|pretty|stale|consistent|cached)\b[^&]*/g, '')}`
    const now = { recorded: Number(value), got: Number(got) }
    const last = this.#indexes.get(key)
    this.#indexes.set(key, now)
    if (!last) return
    const rose = (a: number, b: number): string => (b > a ? 'rose' : b < a ? 'fell' : 'stayed')
    const [theirs, ours] = [rose(last.recorded, now.recorded), rose(last.got, now.got)]
    // That of events is made of random ids: it may move either way.
    if (step.path.startsWith('/v1/event/list') && theirs !== 'stayed' && ours !== 'stayed') return
    if (theirs !== ours) note('index', theirs, ours)
  }

  #compareBody(recorded: RecordedBody, answer: RawAnswer, note: Note): void {
    if (isBinaryBody(recorded)) {
      const got = Buffer.from(answer.body).toString('base64')
      if (got !== recorded.base64) note('body', recorded.base64, got)
      return
    }
    if (isDigestBody(recorded)) {
      this.#compareDigest(recorded, answer, note)
      return
    }
    const text = this.#toTheirs(Buffer.from(answer.body).toString('utf8'))
    if (isTextBody(recorded)) {
      const [theirs, ours] = [maskText(recorded.text), maskText(text)]
      if (theirs !== ours) note('body.text', theirs, ours)
      return
    }
    if (isObject(recorded) && 'closed' in recorded) return
    let got: unknown
    try {
      got = JSON.parse(text)
    } catch {
      note('body', recorded, text)
      return
    }
    if (isShapeBody(recorded)) {
      for (const { path, ...values } of compareJson(recorded.shape, shapeOf(got), []))
        note(path, values.recorded, values.got)
      return
    }
    for (const { path, ...values } of compareJson(recorded, got, this.#volatile, this.#samePort))
      note(path, values.recorded, values.got)
  }

  /** A port stands for the one that Consul had. */
  #samePort = (recorded: unknown, got: unknown): boolean =>
    this.#ports.some(([theirs, ours]) => theirs.endsWith(`:${String(recorded)}`) && ours.endsWith(`:${String(got)}`))

  #compareDigest({ length, sha256 }: { length: number; sha256?: string }, answer: RawAnswer, note: Note): void {
    const isVolatile = this.#volatile.some((pattern) => pattern.matches('body.length'))
    if (!isVolatile && answer.body.length !== length) note('body (length)', length, answer.body.length)
    if (isVolatile && answer.body.length === 0) note('body (length)', length, 0)
    if (sha256 === undefined) return
    const got = createHash('sha256').update(answer.body).digest('hex')
    if (got !== sha256) note('body (sha256)', sha256, got)
  }
}

type Note = (what: string, recorded: unknown, got: unknown) => void

/** How much faster or slower than Consul an answer may come: the machine is another and busy. */
const SLACK_MS = 3_000

function compareElapsed(recorded: number, got: number, note: Note): void {
  if (got < recorded * 0.9 - 50 || got > recorded * 1.1 + SLACK_MS) note('elapsed', recorded, Math.round(got))
}

function savedValue(path: string, answer: RawAnswer): string {
  const [first = '', ...parts] = path.split('.')
  if (first === 'headers') return answer.headers.get(parts.join('.').toLowerCase()) ?? '0'
  try {
    let value: unknown = JSON.parse(Buffer.from(answer.body).toString('utf8'))
    for (const part of parts) value = (value as Record<string, unknown>)[part]
    return String(value)
  } catch {
    return '0'
  }
}

/** "Ports: HTTP 18500, DNS 18600, server 18300, Serf LAN 18301, Serf WAN 18302." */
function portsOf(setup: string, agents: Readonly<Record<string, Agent>>): [string, string][] {
  const port = (name: string): number => Number(new RegExp(`${name} (\\d+)`).exec(setup)?.[1])
  const pairs: [string, string][] = []
  for (const [name, agent] of Object.entries(agents)) {
    const offset = name === 'dc1' ? 0 : 1000
    pairs.push([`127.0.0.1:${port('HTTP') + offset}`, `127.0.0.1:${agent.http}`])
    pairs.push([`127.0.0.1:${port('server') + offset}`, `127.0.0.1:${agent.libp2p}`])
    pairs.push([`127.0.0.1:${port('Serf LAN') + offset}`, `127.0.0.1:${agent.libp2p}`])
    pairs.push([`127.0.0.1:${port('Serf WAN') + offset}`, `127.0.0.1:${agent.libp2p}`])
  }
  return pairs
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
