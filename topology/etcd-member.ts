/** The member of etcd that a server runs beside itself (`etcd:managed`), as a process of this machine. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const RUN_MS = 5000
const MAX_OUTPUT_BYTES = 16 * 2 ** 20

/** Its process id; undefined while there is none. Rejects when `ps` cannot be run. */
export async function memberPid(dataDirectory: string): Promise<number | undefined> {
  const options = { timeout: RUN_MS, maxBuffer: MAX_OUTPUT_BYTES }
  const { stdout } = await promisify(execFile)('ps', ['-eo', 'pid=,args='], options)
  return pidIn(stdout, dataDirectory)
}

/** From lines of a process id and a command line. The shell that guards a member names it too, but is not it. */
export function pidIn(listing: string, dataDirectory: string): number | undefined {
  const line = listing.split('\n').find((each) => {
    const args = each.trimStart().split(' ').slice(1).join(' ').trimStart()
    return /^\S*etcd --name /.test(args) && args.includes(` --data-dir ${dataDirectory}/etcd/`)
  })
  return line === undefined ? undefined : Number.parseInt(line, 10)
}

/** kill -9; of one that has ended it is nothing. */
export function killMember(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
