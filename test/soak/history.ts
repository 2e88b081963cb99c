/**
 * What was true of one datacenter, and when: the model beside a mesh that tells right answers from wrong ones. The writer says
 * when it began to write a state and when that was acknowledged; in between either may be seen.
 *
 * An answer is wrong when it was never so, when it had been superseded for longer than the age that it states allows, or when
 * the same node has given a later one before.
 */
export interface Asked {
  /** When the question was sent and its answer had come, on the clock of the writer. */
  readonly askedMs: number
  readonly answeredMs: number
  /** What the answer says of its own age. */
  readonly ageMs: number
  /** The latest version that the same node gave before, in the same life; 0 for none. */
  readonly floor: number
}

export type Judgement =
  | { readonly ok: true; readonly version: number }
  | { readonly ok: false; readonly wrong: 'never' | 'older-than-it-says' | 'went-back'; readonly byMs: number }

interface Version {
  readonly state: string
  readonly beganMs: number
  /** Infinity while it is not acknowledged. */
  ackedMs: number
}

export class History {
  readonly #versions: Version[] = [{ state: '', beganMs: Number.NEGATIVE_INFINITY, ackedMs: Number.NEGATIVE_INFINITY }]
  /** Versions with the same state, in order. */
  readonly #byState = new Map<string, number[]>([['', [0]]])

  /** Index of the last version that was begun. */
  get latest(): number {
    return this.#versions.length - 1
  }
  /** The last that was acknowledged: what must be seen, sooner or later. */
  get acked(): number {
    return this.#versions.at(-1)!.ackedMs === Number.POSITIVE_INFINITY ? this.latest - 1 : this.latest
  }
  stateOf(version: number): string {
    return this.#versions[version]!.state
  }

  begin(state: string, nowMs: number): void {
    this.#versions.push({ state, beganMs: nowMs, ackedMs: Number.POSITIVE_INFINITY })
    const same = this.#byState.get(state) ?? []
    same.push(this.latest)
    this.#byState.set(state, same)
  }

  acknowledge(nowMs: number): void {
    this.#versions.at(-1)!.ackedMs = nowMs
  }

  /** `slackMs`: what an age does not cover: the way here, and the time that it takes to answer. */
  judge(state: string, { askedMs, answeredMs, ageMs, floor }: Asked, slackMs: number): Judgement {
    const version = this.#byState.get(state)?.findLast((index) => this.#versions[index]!.beganMs <= answeredMs)
    if (version === undefined) return { ok: false, wrong: 'never', byMs: 0 }
    const supersededMs = this.#versions[version + 1]?.ackedMs ?? Number.POSITIVE_INFINITY
    const byMs = askedMs - ageMs - slackMs - supersededMs
    if (byMs > 0) return { ok: false, wrong: 'older-than-it-says', byMs }
    if (version < floor) return { ok: false, wrong: 'went-back', byMs: 0 }
    return { ok: true, version }
  }
}
