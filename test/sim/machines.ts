/** All that decides in the federation, for bugs to be planted in. */
import * as answering from '../../src/federation/protocol/answering.ts'
import { Asking } from '../../src/federation/protocol/asking.ts'
import { Breaker } from '../../src/federation/protocol/breaker.ts'
import { Content } from '../../src/federation/protocol/content.ts'
import * as digest from '../../src/federation/protocol/digest.ts'
import { Directory } from '../../src/federation/protocol/directory.ts'
import * as heartbeat from '../../src/federation/protocol/heartbeat.ts'
import { HeldDeltas } from '../../src/federation/protocol/held.ts'
import { OwnStanding } from '../../src/federation/protocol/own-standing.ts'
import { Publisher } from '../../src/federation/protocol/publisher.ts'
import { Pulse } from '../../src/federation/protocol/pulse.ts'
import { Reception } from '../../src/federation/protocol/reception.ts'
import { Replica } from '../../src/federation/protocol/replica.ts'
import { Transfer } from '../../src/federation/protocol/transfer.ts'

export const machines = {
  Asking,
  Breaker,
  Content,
  Directory,
  HeldDeltas,
  OwnStanding,
  Publisher,
  Pulse,
  Reception,
  Replica,
  Transfer,
  /** Functions of modules cannot be replaced, but called; to change them, edit the source. */
  answering,
  digest,
  heartbeat,
}
export type Machines = typeof machines
