/** Every command: its name, its purpose, and where it is. What it takes is read only when it is called. */
import type { Command, Group } from './command.ts'

export interface Listed {
  readonly name: string
  readonly purpose: string
  load(): Promise<{ readonly command: Command | Group }>
}

export const COMMANDS: readonly Listed[] = [
  {
    name: 'agent',
    purpose: 'run a node: a server of a datacenter, or a client beside workloads',
    load: () => import('./agent.ts'),
  },
  {
    name: 'members',
    purpose: 'list the nodes of this datacenter, or the servers of all',
    load: () => import('./members.ts'),
  },
  { name: 'services', purpose: 'list the services of a datacenter', load: () => import('./services.ts') },
  {
    name: 'register',
    purpose: 'make a service and its checks known to this node',
    load: () => import('./register.ts'),
  },
  { name: 'deregister', purpose: 'take services of this node out', load: () => import('./deregister.ts') },
  {
    name: 'query',
    purpose: 'find instances of a service, here or in other datacenters',
    load: () => import('./query.ts'),
  },
  {
    name: 'prepared',
    purpose: 'store, show and execute prepared queries',
    load: () => import('./prepared.ts'),
  },
  { name: 'kv', purpose: 'read and write keys', load: () => import('./kv.ts') },
  {
    name: 'lock',
    purpose: 'run a command while a lock is held',
    load: () => import('./lock.ts'),
  },
  {
    name: 'watch',
    purpose: 'run a command each time that a service or keys change',
    load: () => import('./watch.ts'),
  },
  {
    name: 'snapshot',
    purpose: 'save and restore all that a datacenter holds',
    load: () => import('./snapshot.ts'),
  },
  {
    name: 'store',
    purpose: 'move a datacenter to another kind of store',
    load: () => import('./store.ts'),
  },
  {
    name: 'mesh',
    purpose: 'show all datacenters: state, distance, and how fresh they are known',
    load: () => import('./mesh.ts'),
  },
  {
    name: 'rtt',
    purpose: 'estimate the round-trip time between two nodes, or two datacenters',
    load: () => import('./rtt.ts'),
  },
  { name: 'explain', purpose: 'show why a lookup goes where it goes', load: () => import('./explain.ts') },
  { name: 'join', purpose: 'connect this node to others', load: () => import('./join.ts') },
  { name: 'leave', purpose: 'take this node out in an orderly way', load: () => import('./leave.ts') },
  { name: 'version', purpose: 'print versions', load: () => import('./version.ts') },
]
