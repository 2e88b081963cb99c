import type { Random } from '../../runtime/ports.ts'

/** The random part of an epoch: 16 hex digits. */
export const newRandom = (random: Random): string => Buffer.from(random.bytes(8)).toString('hex')
