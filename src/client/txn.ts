/** Transactions: all operations or none. */
import { isClientError } from './error.ts'
import { callOptions, parseJson } from './read.ts'
import type { CallOptions, Transport } from './transport.ts'

/** As the API has them: `{ KV: { Verb: 'set', Key: 'a', Value: base64 } }`, and `Node`, `Service`, `Check`. */
export type TxnOperationJson = Readonly<Record<string, Readonly<Record<string, unknown>>>>
export type TxnResultJson = Readonly<Record<string, Readonly<Record<string, unknown>>>>

export type TxnClient = (
  operations: readonly TxnOperationJson[],
  options?: CallOptions & { dc?: string },
) => Promise<readonly TxnResultJson[] | undefined>

/** Undefined when an operation could not be: nothing was changed. */
export const txnClient =
  (transport: Transport): TxnClient =>
  async (operations, options = {}) => {
    try {
      const answer = await transport.call({
        method: 'PUT',
        path: '/v1/txn',
        query: { dc: options.dc },
        body: JSON.stringify(operations),
        ...callOptions(options),
      })
      return parseJson<{ Results: TxnResultJson[] | null }>(answer).Results ?? []
    } catch (error) {
      if (isClientError(error) && error.status === 409) return undefined
      throw error
    }
  }
