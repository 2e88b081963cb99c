import { AtollError } from '../model/errors.ts'
import { runCommand } from '../runtime/command.ts'

const RUN_MS = 5_000

/** Rejects with AtollError 'invalid' where that is no etcd of 3.4 or later; says how to get one. */
export async function assertEtcd(bin: string, signal: AbortSignal): Promise<void> {
  const both = AbortSignal.any([signal, AbortSignal.timeout(RUN_MS)])
  const output = await runCommand({ args: [bin, '--version'], maxOutputBytes: 4_096, signal: both }).then(
    (result) => new TextDecoder().decode(result.output),
    () => '',
  )
  signal.throwIfAborted()
  const [, major, minor] = /etcd Version: (\d+)\.(\d+)/.exec(output) ?? []
  if (Number(major) > 3 || (Number(major) === 3 && Number(minor) >= 4)) return
  const what = major === undefined ? 'cannot be run' : `is version ${major}.${minor}`
  throw new AtollError(
    'invalid',
    `store.managed.etcdBin: "${bin}" ${what}; etcd 3.4 or later is needed: install it (apt-get install etcd-server, and ` +
      'systemctl disable --now etcd), or give its path with --etcd-bin',
    { field: 'store.managed.etcdBin' },
  )
}
