/** An operation of a transaction that cannot be: the transaction is not applied, and the text is its answer. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
}

/** Index of an entry that the very transaction writes, until it is known. */
export const PENDING = -1
