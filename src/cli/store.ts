import type { Group } from './command.ts'
import { command as migrate } from './store-migrate.ts'

export const command: Group = {
  examples: [
    {
      line: 'atoll store migrate --dc eu-1 --from /var/lib/atoll --to etcd://10.0.0.1:2379',
      says: 'move a datacenter from the embedded store to etcd',
    },
  ],
  commands: {
    migrate: { purpose: 'move what a datacenter holds into another kind of store', command: migrate },
  },
}
