import { describe, expect, it } from 'vitest'
import { pidIn } from './etcd-member.ts'

const LISTING = `
    1 /sbin/init
  811 sh -c exec 3<&0 sh etcd --name a-server --data-dir /data/a-server/etcd/member --client-cert-auth
  812 etcd --name a-server --data-dir /data/a-server/etcd/member --client-cert-auth
 1813 /usr/bin/etcd --name a-server-2 --data-dir /data/a-server-2/etcd/member --client-cert-auth
`

describe('the member of a server', () => {
  it('is the etcd on its data, not the shell before it, nor that of a server whose name begins the same', () => {
    expect(pidIn(LISTING, '/data/a-server')).toBe(812)
    expect(pidIn(LISTING, '/data/a-server-2')).toBe(1813)
    expect(pidIn(LISTING, '/data/a')).toBeUndefined()
  })
})
