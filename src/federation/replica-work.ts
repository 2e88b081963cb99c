/** Does what a replica has to do in steps, leaving the event loop to others in between: merging transfers, installing contents. */
import type { Clock } from '../runtime/ports.ts'
import type { Installation, ReplicaSink } from './federation.ts'
import { pace } from './pace.ts'
import type { Replica, ReplicaEffect } from './protocol/replica.ts'

export interface ReplicaWorkOptions {
  readonly clock: Clock
  readonly replica: Replica
  readonly sink: ReplicaSink
  readonly run: (effects: readonly ReplicaEffect[]) => void
  /** The tables show another content. */
  readonly onInstalled: () => void
  readonly onFailed: (error: unknown) => void
}

type Install = Extract<ReplicaEffect, { type: 'install' }>

interface Job {
  /** False when there is nothing left to do. */
  step(): boolean
  done(): void
  failed(error: unknown): void
}

/** Gives the event loop away, when it is time to. */
type Breathe = () => Promise<void> | undefined

export class ReplicaWork {
  readonly #options: ReplicaWorkOptions
  #running: Promise<void> = Promise.resolve()
  #closed = false

  constructor(options: ReplicaWorkOptions) {
    this.#options = options
  }

  /** Resolves once nothing is under way. */
  async settled(): Promise<void> {
    for (let seen: Promise<void> | undefined; seen !== this.#running; ) {
      seen = this.#running
      await seen
    }
  }

  merge(): void {
    const { replica, run, clock, onFailed } = this.#options
    this.#start({
      step: () => {
        run(replica.step(clock.nowMs()))
        return replica.merging
      },
      done: () => {},
      failed: onFailed,
    })
  }

  /** What is small is done before this returns. */
  install(effect: Install): void {
    const { sink } = this.#options
    let installation: Installation | undefined
    this.#start({
      step: () => {
        installation ??= sink.install(effect.epoch, effect.revision, effect.content)
        return installation.step()
      },
      done: () => {
        installation?.commit()
        this.#installed()
      },
      failed: (error) => {
        this.#options.onFailed(error)
        this.#installed()
      },
    })
  }

  #installed(): void {
    const { replica, run, clock, onInstalled } = this.#options
    run(replica.installed(clock.nowMs()))
    onInstalled()
  }

  close(): void {
    this.#closed = true
  }

  #start(job: Job): void {
    const breathe = pace(this.#options.clock)
    const pause = this.#slice(job, breathe)
    if (pause) this.#running = this.#goOn(job, breathe, pause)
  }

  async #goOn(job: Job, breathe: Breathe, first: Promise<void>): Promise<void> {
    for (let pause: Promise<void> | undefined = first; pause; ) {
      await pause
      pause = this.#slice(job, breathe)
    }
  }

  /** Works until it is time for others, and returns what to wait for then; undefined when the job is over. */
  #slice(job: Job, breathe: Breathe): Promise<void> | undefined {
    try {
      while (!this.#closed && job.step()) {
        const pause = breathe()
        if (pause) return pause
      }
      if (!this.#closed) job.done()
    } catch (error) {
      job.failed(error)
    }
    return undefined
  }
}
