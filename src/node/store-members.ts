/** `atoll store members|remove|recover`: a managed etcd, from the data directory of one of its servers. */
import { currentRuntime } from '../runtime/runtime.ts'
import {
  type AdministrationOptions,
  type MemberReport,
  markRecovery,
  removeFrom,
  reportMembers,
} from '../store/managed/administration.ts'

export type { MemberReport } from '../store/managed/administration.ts'

async function optionsFor(dataDirectory: string): Promise<AdministrationOptions> {
  const { clock, random, disk } = await currentRuntime()
  return { clock, random, disk, directory: disk.join(dataDirectory, 'etcd') }
}

/** Rejects with AtollError, as the two below: 'not-found' for a folder without a member, 'unavailable' where none answers. */
export const storeMembers = async (dataDirectory: string): Promise<MemberReport[]> =>
  reportMembers(await optionsFor(dataDirectory))

/** Resolves with the name of who was removed. */
export async function removeStoreMember(dataDirectory: string, which: string, force: boolean): Promise<string> {
  const { name, id } = await removeFrom(await optionsFor(dataDirectory), which, force)
  return name || id
}

export const recoverStore = async (dataDirectory: string): Promise<void> =>
  markRecovery(await optionsFor(dataDirectory))
