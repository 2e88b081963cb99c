/**
 * Whether a history of concurrent operations is linearizable: whether there is an order of them that a single copy of the thing
 * could have gone through, in which each takes effect between its call and its return.
 *
 * The search is that of Wing and Gong (Testing and verifying concurrent objects, 1993): calls and returns in a linked list, from
 * which what was put in order is lifted, and put back when that leads nowhere. With Lowe's memoization (Testing for
 * linearizability, 2017): the same set of operations in order and the same state are not searched twice.
 */

/** One operation as its client saw it. */
export interface Operation<Op> {
  readonly op: Op
  /** Before it was sent and after its answer had come, on one clock. Infinity where the outcome is not known. */
  readonly callMs: number
  readonly returnMs: number
}

/** What a single copy of the thing does. States are compared by `===` and by their keys, and never changed. */
export interface Model<State, Op> {
  readonly initial: State
  /**
   * The state after `op`, or undefined when it cannot have had this outcome here. One whose outcome is not known, and that would
   * change nothing, may be refused: it need not have happened.
   */
  step(state: State, op: Op): State | undefined
  keyOf(state: State): string
  /** Whether, with this outcome, it changes nothing in any state. */
  isRead(op: Op): boolean
  /** Of operations without an outcome: those of the same class are interchangeable. */
  classOf?(op: Op): string | undefined
}

export interface CheckLimits {
  /** Steps of the model, then the search is given up. Default 20 million. */
  readonly maxSteps?: number
  /** Remembered pairs of set and state. Default 2 million. */
  readonly maxRemembered?: number
}

export type Verdict<Op> =
  | { readonly verdict: 'linearizable'; readonly steps: number }
  | {
      readonly verdict: 'not-linearizable'
      readonly steps: number
      /** The longest order that was found, and the operation that nothing could be found for after it. */
      readonly order: readonly Operation<Op>[]
      readonly blocked: Operation<Op>
    }
  /** Neither was shown within the limits. */
  | { readonly verdict: 'gave-up'; readonly steps: number }

/** A call or a return in the list; calls whose outcome is not known have no return, and stand beside it. */
interface Entry {
  /** Index of the operation. */
  readonly at: number
  readonly isCall: boolean
  readonly timeMs: number
  previous: Entry
  next: Entry
  /** Of a call: its return. */
  partner?: Entry
}

interface Frame<State> {
  readonly entry: Entry | undefined
  /** Of an operation without an outcome: which of them was taken. */
  readonly open: number
  readonly before: State
  /** A read, which to take at once was right in any case. */
  readonly free: boolean
}

/** Checks the history of one thing. Operations may come in any order. */
export function check<State, Op>(
  operations: readonly Operation<Op>[],
  model: Model<State, Op>,
  limits: CheckLimits = {},
): Verdict<Op> {
  return new Search(operations, model, limits).run()
}

class Search<State, Op> {
  readonly #model: Model<State, Op>
  readonly #maxSteps: number
  readonly #maxRemembered: number
  /** With an outcome, by call. */
  readonly #known: readonly Operation<Op>[]
  /** Without, by call. */
  readonly #open: readonly Operation<Op>[]
  readonly #classes: readonly (string | undefined)[]
  readonly #head: Entry
  readonly #done: Uint8Array
  readonly #openDone: Uint8Array
  readonly #stack: Frame<State>[] = []
  readonly #remembered = new Set<string>()
  /** All below are in order, and none from `#top` on. */
  #lowest = 0
  #top = 0
  #left: number
  #steps = 0
  #state: State
  #deepest: { order: readonly Operation<Op>[]; blocked: Operation<Op> } | undefined

  constructor(operations: readonly Operation<Op>[], model: Model<State, Op>, limits: CheckLimits) {
    this.#model = model
    this.#maxSteps = limits.maxSteps ?? 20_000_000
    this.#maxRemembered = limits.maxRemembered ?? 2_000_000
    const byCall = [...operations].sort((a, b) => a.callMs - b.callMs)
    this.#known = byCall.filter(({ returnMs }) => returnMs !== Number.POSITIVE_INFINITY)
    this.#open = byCall.filter(({ returnMs }) => returnMs === Number.POSITIVE_INFINITY)
    this.#classes = this.#open.map(({ op }) => model.classOf?.(op))
    this.#head = listOf(this.#known)
    this.#done = new Uint8Array(this.#known.length)
    this.#openDone = new Uint8Array(this.#open.length)
    this.#left = this.#known.length
    this.#state = model.initial
  }

  run(): Verdict<Op> {
    let entry = this.#head.next
    /** The next of those without an outcome to try, once `entry` is a return. */
    let open = 0
    while (this.#left > 0) {
      if (this.#steps > this.#maxSteps || this.#remembered.size > this.#maxRemembered) {
        return { verdict: 'gave-up', steps: this.#steps }
      }
      if (entry.isCall) {
        if (this.#take(entry)) {
          entry = this.#head.next
          open = 0
        } else entry = entry.next
        continue
      }
      // Everything that returned later was called later, or was tried; what has no outcome comes last.
      const taken = this.#takeOpen(open, entry.timeMs)
      if (taken) {
        entry = this.#head.next
        open = 0
        continue
      }
      this.#note(entry)
      const frame = this.#back()
      if (!frame) return { verdict: 'not-linearizable', steps: this.#steps, ...this.#deepest! }
      if (frame.entry) {
        entry = frame.entry.next
        open = 0
      } else {
        // All known ones were tried before it.
        entry = this.#firstReturn()
        open = frame.open + 1
      }
    }
    return { verdict: 'linearizable', steps: this.#steps }
  }

  #take(entry: Entry): boolean {
    this.#steps++
    const { at } = entry
    const { op } = this.#known[at]!
    const next = this.#model.step(this.#state, op)
    if (next === undefined) return false
    const free = this.#model.isRead(op)
    this.#mark(at, 1)
    if (!free && !this.#remember(next)) {
      this.#mark(at, 0)
      return false
    }
    this.#stack.push({ entry, open: -1, before: this.#state, free })
    this.#state = next
    lift(entry)
    this.#left--
    return true
  }

  #takeOpen(from: number, beforeMs: number): boolean {
    for (let i = from; i < this.#open.length && this.#open[i]!.callMs <= beforeMs; i++) {
      if (this.#openDone[i] || this.#hasTwinBefore(i)) continue
      this.#steps++
      const next = this.#model.step(this.#state, this.#open[i]!.op)
      if (next === undefined || next === this.#state) continue
      this.#openDone[i] = 1
      if (!this.#remember(next)) {
        this.#openDone[i] = 0
        continue
      }
      this.#stack.push({ entry: undefined, open: i, before: this.#state, free: false })
      this.#state = next
      return true
    }
    return false
  }

  /** Of interchangeable ones the first called is taken first. */
  #hasTwinBefore(at: number): boolean {
    const wanted = this.#classes[at]
    if (wanted === undefined) return false
    for (let i = 0; i < at; i++) if (!this.#openDone[i] && this.#classes[i] === wanted) return true
    return false
  }

  #mark(at: number, done: 0 | 1): void {
    this.#done[at] = done
    if (done === 0) {
      if (at < this.#lowest) this.#lowest = at
      while (this.#top > 0 && !this.#done[this.#top - 1]) this.#top--
      return
    }
    if (at >= this.#top) this.#top = at + 1
    while (this.#lowest < this.#top && this.#done[this.#lowest]) this.#lowest++
  }

  /** False when it was there before. What is in order is all below `lowest`, and some of those up to `top`. */
  #remember(state: State): boolean {
    let key = `${this.#lowest} ${this.#top}`
    for (let i = 0; i < this.#open.length; i++) if (this.#openDone[i]) key += ` ${i}`
    key += '|'
    for (let at = this.#lowest; at < this.#top; at += 16) {
      let bits = 0
      for (let i = 0; i < 16; i++) bits |= (this.#done[at + i] ?? 0) << i
      key += String.fromCharCode(bits)
    }
    key += this.#model.keyOf(state)
    const before = this.#remembered.size
    this.#remembered.add(key)
    return this.#remembered.size > before
  }

  /** Takes the last choice back; reads are no choices. Undefined when there is none. */
  #back(): Frame<State> | undefined {
    for (;;) {
      const frame = this.#stack.pop()
      if (!frame) return undefined
      this.#state = frame.before
      if (frame.entry) {
        unlift(frame.entry)
        this.#mark(frame.entry.at, 0)
        this.#left++
      } else this.#openDone[frame.open] = 0
      if (!frame.free) return frame
    }
  }

  #firstReturn(): Entry {
    let entry = this.#head.next
    while (entry.isCall) entry = entry.next
    return entry
  }

  #note(blocked: Entry): void {
    if (this.#deepest && this.#stack.length <= this.#deepest.order.length) return
    const order = this.#stack.map(({ entry, open }) => (entry ? this.#known[entry.at]! : this.#open[open]!))
    this.#deepest = { order, blocked: this.#known[blocked.at]! }
  }
}

/** Calls and returns by time; where they are equal the call first, as then they may have overlapped. */
function listOf(known: readonly Operation<unknown>[]): Entry {
  const head = { at: -1, isCall: false, timeMs: Number.NEGATIVE_INFINITY } as Entry
  head.previous = head
  head.next = head
  const entries = known.flatMap(({ callMs, returnMs }, at) => {
    const answer = { at, isCall: false, timeMs: returnMs } as Entry
    return [{ at, isCall: true, timeMs: callMs, partner: answer } as Entry, answer]
  })
  entries.sort((a, b) => a.timeMs - b.timeMs || Number(b.isCall) - Number(a.isCall) || a.at - b.at)
  let last = head
  for (const entry of entries) {
    entry.previous = last
    entry.next = head
    last.next = entry
    last = entry
  }
  return head
}

function lift(call: Entry): void {
  const answer = call.partner!
  call.previous.next = call.next
  call.next.previous = call.previous
  answer.previous.next = answer.next
  answer.next.previous = answer.previous
}

function unlift(call: Entry): void {
  const answer = call.partner!
  answer.previous.next = answer
  answer.next.previous = answer
  call.previous.next = call
  call.next.previous = call
}
