/** `up` with nodes that are not real, as a process, for tests of what happens when it is interrupted or killed. */
import { commandLine } from '../runtimes.ts'
import { up } from '../up.ts'

const [file] = process.argv.slice(2)

process.exit(
  await up(
    {
      file,
      keep: false,
      name: undefined,
      httpPort: undefined,
      libp2pPort: undefined,
      dnsPort: undefined,
      servicePort: undefined,
    },
    {
      command: (_runtime, script, args) =>
        commandLine('bun', script === 'topology/child.ts' ? 'topology/testing/fake-node.ts' : script, args),
    },
  ),
)
