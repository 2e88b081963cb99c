import type { Group } from './command.ts'
import { members, recover, remove } from './store-members.ts'
import { command as migrate } from './store-migrate.ts'

export const command: Group = {
  examples: [
    {
      line: 'atoll store migrate --dc eu-1 --from /var/lib/atoll --to etcd://10.0.0.1:2379',
      says: 'move a datacenter from the embedded store to etcd',
    },
    { line: 'atoll store members --data-dir /var/lib/atoll', says: 'the etcd that the servers of a datacenter run' },
  ],
  commands: {
    members: { purpose: 'list the members of a managed etcd', command: members },
    remove: { purpose: 'take a lost member out of it', command: remove },
    recover: { purpose: 'go on with one member when the majority is lost for good', command: recover },
    migrate: { purpose: 'move what a datacenter holds into another kind of store', command: migrate },
  },
}
