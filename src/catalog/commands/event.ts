import { MAX_EVENTS } from '../../model/event.ts'
import { keys } from '../../model/keys.ts'
import type { Command } from '../catalog.ts'
import * as codec from '../codec.ts'
import type { Tables } from '../tables.ts'
import { modIs, type Plan } from './plan.ts'

/** Takes the place of the oldest one. Who fires at the same time wants the same place, so that the order is one. */
export function planEventFire(tables: Tables, { event }: Extract<Command, { kind: 'event-fire' }>): Plan {
  const time = tables.eventTable.time + 1
  const slot = String(time % MAX_EVENTS)
  const former = tables.eventTable.slot(slot)
  return {
    applied: true,
    if: [modIs(keys.event(slot), former ? tables.revisionOf(former.modifyIndex) : 0)],
    then: [{ put: keys.event(slot), value: codec.encodeEvent({ ...event, time }) }],
  }
}
